# cofferdam: `make help` lists the targets. Everything built goes under $(B).
B ?= build
CC ?= gcc
PREFIX ?= /usr/local
DESTDIR ?=
V ?= 0
Q := $(if $(filter 1,$(V)),,@)

.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

# ---- flags -------------------------------------------------------------------------------------------------------
WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wwrite-strings \
        -Wformat=2 -Wundef
BASE := -std=c17 -D_GNU_SOURCE -O2 -g -I. $(WARN) -fPIE -fstack-protector-strong -fcf-protection=full \
        -fno-strict-aliasing -ftrivial-auto-var-init=zero -fno-common -MMD -MP
LINK := -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code,--as-needed
EXTRA_CFLAGS ?=
GLIBC := $(BASE) -D_FORTIFY_SOURCE=2 $(EXTRA_CFLAGS)

# Programs that face the guest link musl and nothing else. musl-gcc gives static-pie programs an interpreter, so the
# start files and the libraries are named here. Kernel headers come after musl's own.
MUSL_INCLUDE := /usr/include/x86_64-linux-musl
MUSL_LIB := /usr/lib/x86_64-linux-musl
MUSL := $(BASE) -nostdinc -isystem $(MUSL_INCLUDE) -isystem $(shell $(CC) -print-file-name=include) \
        -idirafter /usr/include -idirafter /usr/include/x86_64-linux-gnu $(EXTRA_CFLAGS)
MUSL_START := $(MUSL_LIB)/rcrt1.o $(MUSL_LIB)/crti.o
MUSL_END := $(MUSL_LIB)/libc.a $(shell $(CC) -print-libgcc-file-name) $(MUSL_LIB)/crtn.o
MUSL_LINK := -nostdlib -static-pie -Wl,--no-dynamic-linker,-z,text $(LINK)

# ---- programs: a folder is a privilege ---------------------------------------------------------------------------
INSIDE := $(wildcard jail/inside/*.c) policy/plan.c
AUDIT_SHARED := $(filter-out monitor/audit/main.c,$(wildcard monitor/audit/*.c))
COMMAND_SRC := $(wildcard monitor/command/*.c jail/outside/*.c policy/*.c) $(AUDIT_SHARED)
SUPERVISOR_SRC := $(wildcard monitor/supervisor/*.c) $(INSIDE)
AUDITOR_SRC := $(wildcard monitor/audit/*.c) $(INSIDE)
MONITOR_SRC := $(wildcard monitor/vmm/*.c) $(INSIDE)
DEVICE_SRC := $(wildcard devices/*.c) $(INSIDE)

glibc = $(patsubst %.c,$(B)/glibc/%.o,$(1))
musl = $(patsubst %.c,$(B)/musl/%.o,$(1))

JAILED := $(B)/cofferdam-supervisor $(B)/cofferdam-auditor $(B)/cofferdam-monitor $(B)/cofferdam-device
PROGRAMS := $(B)/cofferdam $(JAILED)

all: $(PROGRAMS) ## build everything

$(B)/glibc/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(GLIBC) -c -o $@ $<
$(B)/musl/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(MUSL) -c -o $@ $<

$(B)/cofferdam: $(call glibc,$(COMMAND_SRC)) $(B)/guest/builtin.o
	$(Q)$(CC) -pie $(LINK) -o $@ $^ -lseccomp -lcap-ng -lyaml -ljansson -lsodium
$(B)/cofferdam-supervisor: $(call glibc,$(SUPERVISOR_SRC))
	$(Q)$(CC) -static-pie $(LINK) -o $@ $^ -l:libjansson.a
$(B)/cofferdam-auditor: $(call glibc,$(AUDITOR_SRC))
	$(Q)$(CC) -static-pie $(LINK) -o $@ $^ -l:libsodium.a
$(B)/cofferdam-monitor: $(call musl,$(MONITOR_SRC))
	$(Q)$(CC) $(MUSL_LINK) -o $@ $(MUSL_START) $^ $(MUSL_END)
$(B)/cofferdam-device: $(call musl,$(DEVICE_SRC))
	$(Q)$(CC) $(MUSL_LINK) -o $@ $(MUSL_START) $^ $(MUSL_END)

clean: ## remove what was built
	rm -rf $(B)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

-include $(shell find $(B) -name '*.d' 2>/dev/null)
.PHONY: all clean help
