# cofferdam: `make help` lists the targets. Everything built goes under $(B).
B ?= build
# One name for a folder, whether B is given absolute or not: what an object depends on is noted by the object's name.
override B := $(patsubst $(CURDIR)/%,%,$(B))
ifeq ($(origin CC),default) # make has one of its own, which a fresh machine has not
CC := gcc
endif
PREFIX ?= /usr/local
DESTDIR ?=
V ?= 0
Q := $(if $(filter 1,$(V)),,@)

.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

# ---- flags -------------------------------------------------------------------------------------------------------
WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wwrite-strings \
        -Wformat=2 -Wundef
BASE := -std=c17 -D_GNU_SOURCE -O2 -g -I. $(WARN) -fPIE -fstack-protector-strong -fcf-protection=full \
        -fno-strict-aliasing -ftrivial-auto-var-init=$(if $(findstring clang,$(CC)),pattern,zero) -fno-common \
        -ffunction-sections -fdata-sections -MMD -MP
LINK := -Wl,--gc-sections,-z,relro,-z,now,-z,noexecstack,-z,separate-code,--as-needed
EXTRA_CFLAGS ?=
GLIBC := $(BASE) -D_FORTIFY_SOURCE=2 $(EXTRA_CFLAGS)

# The launcher's libraries go into it, all but libc: five fewer to find, map and relocate at each launch, and a fifth of
# its memory less. Who wants them shared, as distributions do: make LIBRARIES="-lseccomp -lcap-ng -lyaml -ljansson -lsodium"
LIBRARIES ?= $(B)/libseccomp.a -l:libcap-ng.a -l:libyaml.a -l:libjansson.a -l:libsodium.a

# Every jailed program links musl; those that face the guest nothing else. musl-gcc gives static-pie programs an
# interpreter, so the start files and the libraries are named here. Kernel headers come after musl's own.
MUSL_INCLUDE := /usr/include/x86_64-linux-musl
MUSL_LIB := /usr/lib/x86_64-linux-musl
MUSL := $(BASE) -nostdinc -isystem $(MUSL_INCLUDE) -isystem $(shell $(CC) -print-file-name=include 2>/dev/null) \
        -idirafter /usr/include -idirafter /usr/include/x86_64-linux-gnu $(EXTRA_CFLAGS)
MUSL_START := $(MUSL_LIB)/rcrt1.o $(MUSL_LIB)/crti.o
MUSL_END := $(MUSL_LIB)/libc.a $(shell $(CC) -print-libgcc-file-name 2>/dev/null) $(MUSL_LIB)/crtn.o
MUSL_LINK := -nostdlib -static-pie -Wl,--no-dynamic-linker,-z,text $(LINK)

# ---- programs: a folder is a privilege ---------------------------------------------------------------------------
INSIDE := $(wildcard jail/inside/*.c) policy/plan.c
AUDIT_SHARED := $(filter-out monitor/audit/main.c monitor/audit/writer.c,$(wildcard monitor/audit/*.c))
COMMAND_SRC := $(wildcard monitor/command/*.c jail/outside/*.c policy/*.c) $(AUDIT_SHARED)
SUPERVISOR_SRC := $(wildcard monitor/supervisor/*.c) monitor/audit/event.c $(INSIDE)
AUDITOR_SRC := $(wildcard monitor/audit/*.c) $(INSIDE)
FORTIFIED := monitor/fortified.c # what glibc's archives miss in musl
MONITOR_SRC := $(wildcard monitor/vmm/*.c) devices/guest_memory.c $(INSIDE)
DEVICE_SRC := $(wildcard devices/*.c) $(INSIDE)
PROBER_SRC := $(wildcard jail/prober/*.c) $(INSIDE)

glibc = $(patsubst %.c,$(B)/glibc/%.o,$(1))
musl = $(patsubst %.c,$(B)/musl/%.o,$(1))

JAILED := $(B)/cofferdam-supervisor $(B)/cofferdam-auditor $(B)/cofferdam-monitor $(B)/cofferdam-device \
          $(B)/cofferdam-prober
PROGRAMS := $(B)/cofferdam $(JAILED)

all: $(PROGRAMS) $(B)/cofferdam-policy.5 ## build everything

# The manual page of policies comes from the table of keys, by the program itself.
$(B)/cofferdam-policy.5: $(B)/cofferdam
	$(Q)$< schema --man >$@

# What the programs of a VM must agree on. One that was built with other headers refuses the plan.
AGREED := policy/plan.h monitor/protocol.h monitor/layout.h monitor/audit/event.h jail/lockdown.h jail/descriptors.h devices/transport.h
PLANS := $(patsubst %,$(B)/%/policy/plan.o,glibc musl test asan)
$(PLANS): $(AGREED)
$(PLANS): DEFINE := -DPLAN_VERSION=0x$(shell cat $(AGREED) | sha256sum | cut -c 1-8)U

$(B)/glibc/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(GLIBC) $(DEFINE) -c -o $@ $<
$(B)/musl/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(MUSL) $(DEFINE) -c -o $@ $<

# Its own memory is apart from the launcher's (jail/outside/filter_memory.h).
OWN_LIBRARIES = $(filter $(B)/%,$(LIBRARIES))
$(B)/libseccomp.a:
	@mkdir -p $(@D)
	$(Q)objcopy $(foreach call,malloc calloc realloc free,--redefine-sym $(call)=filter_$(call)) \
	  $(shell $(CC) -print-file-name=libseccomp.a) $@

$(B)/cofferdam: $(call glibc,$(COMMAND_SRC)) $(B)/guest/builtin.o $(OWN_LIBRARIES)
	$(Q)$(CC) -pie $(LINK) -o $@ $^ $(LIBRARIES)
$(B)/cofferdam-supervisor: $(call musl,$(SUPERVISOR_SRC) $(FORTIFIED))
	$(Q)$(CC) $(MUSL_LINK) -o $@ $(MUSL_START) $^ -l:libjansson.a $(MUSL_END)
$(B)/cofferdam-auditor: $(call musl,$(AUDITOR_SRC) $(FORTIFIED))
	$(Q)$(CC) $(MUSL_LINK) -o $@ $(MUSL_START) $^ -l:libsodium.a $(MUSL_END)
$(B)/cofferdam-monitor: $(call musl,$(MONITOR_SRC))
	$(Q)$(CC) $(MUSL_LINK) -o $@ $(MUSL_START) $^ $(MUSL_END)
$(B)/cofferdam-prober: $(call musl,$(PROBER_SRC))
	$(Q)$(CC) $(MUSL_LINK) -o $@ $(MUSL_START) $^ $(MUSL_END)
$(B)/cofferdam-device: $(call musl,$(DEVICE_SRC))
	$(Q)$(CC) $(MUSL_LINK) -o $@ $(MUSL_START) $^ $(MUSL_END)

# ---- the built-in guest: freestanding, its main code at CPL 3 -----------------------------------------------------
GUEST := -m64 -std=c17 -O2 -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -ffreestanding -fno-pic \
         -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -mno-red-zone -mgeneral-regs-only \
         -mcmodel=small -MMD -MP
# The port bitmap has to lie within 64 KiB of the TSS, behind all code: what is not timed is built small.
$(patsubst %,$(B)/guest/builtin/%.c.o,network network6 bench_network): GUEST += -Os
GUEST_OBJ := $(patsubst %,$(B)/%.o,$(wildcard guest/builtin/*.c guest/builtin/*.S))

$(B)/guest/%.c.o: guest/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST) -c -o $@ $<
$(B)/guest/%.S.o: guest/%.S
	@mkdir -p $(@D)
	$(Q)$(CC) -m64 -MMD -MP -c -o $@ $<
$(B)/guest/builtin.elf: $(GUEST_OBJ) guest/builtin/link.ld
	$(Q)$(CC) -m64 -nostdlib -static -Wl,--build-id=none,-z,max-page-size=0x1000,-z,noexecstack -T guest/builtin/link.ld \
	  -o $@ $(GUEST_OBJ)

# A guest that attacks, made of the built-in one's machinery: for tests/system/hostile.py alone.
HOSTILE_OBJ := $(patsubst %,$(B)/%.o,$(wildcard tests/guests/hostile/*.c)) \
               $(patsubst %,$(B)/guest/builtin/%.o,start.S traps.S tables.S console.c dsdt.c ending.c firmware.c machine.c \
                 memory.c print.c processors.c virtio.c words.c)
$(B)/tests/guests/%.c.o: tests/guests/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST) -I. -c -o $@ $<
$(B)/hostile.elf: $(HOSTILE_OBJ) guest/builtin/link.ld
	$(Q)$(CC) -m64 -nostdlib -static -Wl,--build-id=none,-z,max-page-size=0x1000,-z,noexecstack \
	  -T guest/builtin/link.ld -o $@ $(HOSTILE_OBJ)
$(B)/guest/builtin.hash: $(B)/guest/builtin.elf
	$(Q)sha256sum $< | sed 's/ .*//; s/../0x&,/g; s/,$$//; s/^/.byte /' >$@
$(B)/guest/builtin.o: monitor/command/builtin.S $(B)/guest/builtin.elf $(B)/guest/builtin.hash
	$(Q)$(CC) -fPIE -DBUILTIN_GUEST='"$(B)/guest/builtin.elf"' -DBUILTIN_HASH='"$(B)/guest/builtin.hash"' -I. -c -o $@ $<

# ---- unit tests: everything but the programs' main files, with sanitizers ----------------------------------------
TEST := -std=c17 -D_GNU_SOURCE -O1 -g -I. -Itests/unit $(WARN) -fno-strict-aliasing -fno-common -MMD -MP \
        -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -DGUEST_MEMORY_HOOK -DLINK_ANSWER_S=6 $(EXTRA_CFLAGS)
TEST_LIBS := -lcheck -lsubunit -lm -lrt -lpthread -lseccomp -lcap-ng -lyaml -ljansson -lsodium
UNIT_SHARED := $(filter-out %/main.c,$(sort $(DEVICE_SRC) $(MONITOR_SRC) $(SUPERVISOR_SRC) $(AUDITOR_SRC) $(COMMAND_SRC)))
UNIT_HELP := $(wildcard tests/unit/fake_*.c)
UNIT := $(patsubst tests/unit/%.c,$(B)/unit/%,$(filter-out $(UNIT_HELP),$(wildcard tests/unit/*.c)))
test = $(patsubst %.c,$(B)/test/%.o,$(1))

$(B)/test/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(TEST) $(DEFINE) -c -o $@ $<
$(B)/test/all.a: $(call test,$(UNIT_SHARED) $(UNIT_HELP))
	$(Q)rm -f $@ && ar rcsT $@ $^
$(B)/unit/%: $(B)/test/tests/unit/%.o $(B)/test/all.a
	@mkdir -p $(@D)
	$(Q)$(CC) -fsanitize=address,undefined -Wl,--as-needed -o $@ $^ $(TEST_LIBS)
$(B)/unit/command_wait: $(B)/guest/builtin.o # what waits for a VM has linked what prepares one

# Stand-ins for a role's program that report from inside its jail what they see, and break its rules.
PROBE_SRC := tests/jail/probe.c $(filter-out jail/inside/violation.c,$(INSIDE))
PROBE := $(B)/probe
$(PROBE): $(call musl,$(PROBE_SRC))
	$(Q)$(CC) $(MUSL_LINK) -o $@ $(MUSL_START) $^ $(MUSL_END)

# The prober's attempts without a jail, and a prober that is let through.
ATTEMPTS := $(filter-out jail/prober/main.c,$(wildcard jail/prober/*.c))
HOLED := $(patsubst jail/prober/kvm.c,tests/jail/hole.c,$(PROBER_SRC))
$(B)/holed/cofferdam-prober: $(call musl,$(HOLED))
	@mkdir -p $(@D)
	$(Q)$(CC) $(MUSL_LINK) -o $@ $(MUSL_START) $^ $(MUSL_END)
$(B)/jail-control: $(call glibc,tests/jail/control.c tests/jail/place.c $(ATTEMPTS))
	$(Q)$(CC) -pie $(LINK) -o $@ $^

$(B)/jail-layers: $(call glibc,$(wildcard tests/jail/layer*.c) tests/jail/place.c $(ATTEMPTS) $(INSIDE) \
                    jail/outside/steps.c jail/outside/seal.c $(wildcard jail/outside/filter*.c jail/outside/tables.c policy/*.c))
	$(Q)$(CC) -pie $(LINK) -o $@ $^ -lseccomp -lcap-ng -lsodium -lyaml -ljansson
$(B)/jail-more: $(call musl,tests/jail/more.c)
	$(Q)$(CC) $(MUSL_LINK) -o $@ $(MUSL_START) $^ $(MUSL_END)
JAIL_TESTS := $(B)/jail-control $(B)/jail-layers $(B)/jail-more $(B)/holed/cofferdam-prober
jail-tests: all $(JAIL_TESTS)

unit: $(UNIT) $(PROGRAMS) $(PROBE) ## build and run the unit tests
	@tests/unit/run $(B)/unit $(notdir $(UNIT))

# The launcher with one rule of its filters left out at a time (jail/outside/filters.c): for tests/system/rules.py alone.
$(B)/trial/filters.o: jail/outside/filters.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(GLIBC) -DFILTER_TRIAL -c -o $@ $<
$(B)/trial/cofferdam: $(B)/trial/filters.o $(filter-out %/jail/outside/filters.o,$(call glibc,$(COMMAND_SRC))) $(B)/guest/builtin.o $(OWN_LIBRARIES)
	$(Q)$(CC) -pie $(LINK) -o $@ $^ $(LIBRARIES)
trial: all $(B)/trial/cofferdam ## each rule of each system call filter is needed
	@B=$(B) tests/system/rules.py

# The hostile guest's other two beds: programs that trap at undefined behaviour, in their jail; and programs with
# AddressSanitizer, which no jail and no static link can have: the launcher for these leaves the host's root in place, and
# they put no layer in force (tests/guests/open).
ASAN := -std=c17 -D_GNU_SOURCE -O1 -g -I. $(WARN) -fPIE -fno-strict-aliasing -fno-common -MMD -MP -fno-omit-frame-pointer \
        -fsanitize=address,undefined -fno-sanitize-recover=all -DSANITIZER_REPORTS='"$(abspath $(B)/asan/reports)"'
asan = $(patsubst %.c,$(B)/asan/%.o,$(filter-out jail/inside/%,$(1)) tests/guests/open/lockdown.c)
ASAN_PROGRAMS := $(addprefix $(B)/asan/cofferdam,-supervisor -auditor -monitor -device)
$(B)/asan/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ASAN) $(DEFINE) -c -o $@ $<
$(B)/asan/cofferdam-supervisor: $(call asan,$(SUPERVISOR_SRC))
$(B)/asan/cofferdam-auditor: $(call asan,$(AUDITOR_SRC))
$(B)/asan/cofferdam-monitor: $(call asan,$(MONITOR_SRC))
$(B)/asan/cofferdam-device: $(call asan,$(DEVICE_SRC))
$(ASAN_PROGRAMS):
	$(Q)$(CC) -fsanitize=address,undefined -pie -Wl,--as-needed -o $@ $^ -ljansson -lsodium -lpthread
$(B)/asan/stager.o: jail/outside/stager.c tests/guests/open/no_root.h
	@mkdir -p $(@D)
	$(Q)$(CC) $(GLIBC) -include tests/guests/open/no_root.h -c -o $@ $<
$(B)/asan/cofferdam: $(B)/asan/stager.o $(filter-out %/jail/outside/stager.o,$(call glibc,$(COMMAND_SRC))) $(B)/guest/builtin.o $(OWN_LIBRARIES)
	$(Q)$(CC) -pie $(LINK) -o $@ $^ $(LIBRARIES)
$(B)/asan/reports:
	$(Q)mkdir -p $@ && chmod 1777 $@
sanitized: $(B)/asan/cofferdam $(ASAN_PROGRAMS) $(B)/asan/reports ## programs with sanitizers, for the hostile guest alone
	@$(MAKE) --no-print-directory B=$(B)/trap EXTRA_CFLAGS="-fsanitize=undefined -fsanitize-undefined-trap-on-error" all

# What the system tests need: a kernel made worse; a tracer that kills at a system call.
$(B)/without: tests/jail/without.c
	$(Q)$(CC) $(GLIBC) -MF $@.d -o $@ $< -lseccomp
$(B)/killer: tests/jail/killer.c tests/jail/left.c tests/jail/left.h tests/jail/victims.c tests/jail/victims.h
	$(Q)$(CC) $(GLIBC) -MF $@.d -o $@ $(filter %.c,$^) -lpthread
TOOLS := $(B)/without $(B)/killer $(B)/hostile.elf

# ---- fuzzing: `make fuzz TARGET=virtqueue TIME=60`; docs/fuzzing.md ------------------------------------------------
FUZZ_TARGETS := $(patsubst fuzz/%.c,%,$(wildcard fuzz/*.c))
FUZZ_FLAGS := -std=c17 -D_GNU_SOURCE -O2 -g -I. -fno-strict-aliasing -fno-sanitize-recover=all -DGUEST_MEMORY_HOOK
FUZZ_virtqueue := -include fuzz/backend/calls.h fuzz/virtqueue.c fuzz/backend/virtqueue.c tests/unit/fake_ring.c tests/unit/fake_frames.c \
                  $(filter-out devices/main.c,$(wildcard devices/*.c))
FUZZ_vsock := fuzz/vsock.c tests/unit/fake_ring.c $(filter-out devices/main.c,$(wildcard devices/*.c))
FUZZ_frames := fuzz/frames.c tests/unit/fake_frames.c devices/frames.c
FUZZ_mmio := fuzz/mmio.c monitor/vmm/mmio.c
FUZZ_loader := fuzz/loader.c $(patsubst %,monitor/vmm/%.c,kernel bzimage elf image boot) devices/guest_memory.c
FUZZ_policy := fuzz/policy.c $(wildcard policy/*.c) -lyaml -ljansson -lsodium
FUZZ_policy_form := fuzz/policy_form.c $(wildcard policy/*.c) -lyaml -ljansson -lsodium
TARGET ?= virtqueue
TIME ?= 60

$(B)/fuzz/replay-%: fuzz/%.c $(wildcard fuzz/backend/* devices/*.[ch] monitor/*.h monitor/vmm/*.[ch] policy/*.[ch])
	@mkdir -p $(@D)
	$(Q)clang -fsanitize=fuzzer,address,undefined $(FUZZ_FLAGS) -o $@ $(FUZZ_$*)
$(B)/fuzz/afl-%: fuzz/%.c $(wildcard fuzz/backend/* devices/*.[ch] monitor/*.h monitor/vmm/*.[ch] policy/*.[ch])
	@mkdir -p $(@D)
	$(Q)AFL_QUIET=1 AFL_USE_ASAN=1 AFL_USE_UBSAN=1 afl-clang-fast -fsanitize=fuzzer $(FUZZ_FLAGS) -o $@ $(FUZZ_$*)

fuzz: $(B)/fuzz/afl-$(TARGET) $(B)/fuzz/replay-$(TARGET) ## fuzz TARGET with AFL++ for TIME seconds; fails on a crash or hang
	@fuzz/run $(B)/fuzz $(TARGET) $(TIME)
fuzz-replay: $(FUZZ_TARGETS:%=$(B)/fuzz/replay-%) ## every kept input once, under ASan and UBSan
	@fuzz/replay $(B)/fuzz $(FUZZ_TARGETS)

# ---- checks ------------------------------------------------------------------------------------------------------
# Each list holds those above it: what a build needs, what the demo needs as well, what the tests need as well.
BUILD_PACKAGES := gcc libc6-dev binutils musl-tools libseccomp-dev libcap-ng-dev libyaml-dev libjansson-dev libsodium-dev
DEMO_PACKAGES := $(BUILD_PACKAGES) qemu-system-x86 busybox-static cpio xz-utils erofs-utils e2fsprogs kmod uidmap python3 \
                 ca-certificates
PACKAGES := $(DEMO_PACKAGES) clang check strace acpica-tools afl++ libclang-rt-14-dev clang-format clang-tidy cppcheck \
            iproute2 iperf3 passt python3-yaml python3-jsonschema minisign groff-base chromium

deps: ## install the Debian packages that are missing
	@tests/deps $(PACKAGES)
deps-build: ## those of them that a build needs
	@tests/deps $(BUILD_PACKAGES)
deps-demo:
	@tests/deps $(DEMO_PACKAGES)

check: deps ## all tests; long ones in a smaller number of rounds
	@$(MAKE) --no-print-directory check-run
check-all: deps ## all tests in full
	@$(MAKE) --no-print-directory check-run ROUNDS=full
check-run: all $(TOOLS)
	@B=$(B) ROUNDS=$(or $(ROUNDS),some) MAKE="$(MAKE)" tests/run

demo: deps-demo ## boot Debian in a jailed VM, then verify its log
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@B=$(B) tests/demo

# The auditor, driven without its jail: for tests/bench/log.py alone.
$(B)/bench/records: $(call musl,tests/bench/records.c $(filter-out monitor/audit/main.c jail/inside/%,$(AUDITOR_SRC)) $(FORTIFIED))
	@mkdir -p $(@D)
	$(Q)$(CC) $(MUSL_LINK) -o $@ $(MUSL_START) $^ -l:libsodium.a $(MUSL_END)

bench: deps ## measure beside QEMU microvm and a bare monitor
	@$(MAKE) --no-print-directory all $(B)/bench/records
	@B=$(B) tests/bench/run

soak: deps ## a Debian guest works its devices with real tools for SOAK seconds (3600)
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@B=$(B) tests/soak $(or $(SOAK),3600)

check-layers: ## a folder is a privilege: who may include what
	@tests/layers

check-programs: all ## static, hardened, and the guest-facing ones musl alone
	@tests/programs $(B)

FORMATTED = $(shell find devices fuzz guest jail monitor policy tests -name "*.[ch]")
format: ## rewrite the sources in the project's format
	clang-format -i $(FORMATTED)

lint: check-layers ## format, clang-tidy, cppcheck, layers
	@B=$(B) tests/lint

install: all ## install to DESTDIR and PREFIX
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec/cofferdam $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man5 \
	  $(DESTDIR)$(PREFIX)/share/doc/cofferdam/examples $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m 755 $(B)/cofferdam $(DESTDIR)$(PREFIX)/bin/
	install -m 755 $(JAILED) $(DESTDIR)$(PREFIX)/libexec/cofferdam/
	install -m 644 docs/cofferdam.1 docs/cofferdam-audit.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 644 $(B)/cofferdam-policy.5 $(DESTDIR)$(PREFIX)/share/man/man5/
	install -m 644 docs/cofferdam.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/cofferdam
	install -m 644 docs/caps.md docs/compliance.md docs/devices.md docs/performance.md $(DESTDIR)$(PREFIX)/share/doc/cofferdam/
	install -m 755 docs/verify.py $(DESTDIR)$(PREFIX)/share/doc/cofferdam/
	install -m 644 README.md SECURITY.md LICENSE $(DESTDIR)$(PREFIX)/share/doc/cofferdam/
	install -m 644 examples/*.yaml $(DESTDIR)$(PREFIX)/share/doc/cofferdam/examples/

uninstall: ## remove what was installed to DESTDIR and PREFIX; logs, revisions and the host file stay
	rm -rf $(DESTDIR)$(PREFIX)/libexec/cofferdam $(DESTDIR)$(PREFIX)/share/doc/cofferdam
	rm -f $(DESTDIR)$(PREFIX)/bin/cofferdam $(addprefix $(DESTDIR)$(PREFIX)/share/,man/man1/cofferdam.1 man/man1/cofferdam-audit.1 \
	  man/man5/cofferdam-policy.5 bash-completion/completions/cofferdam)

clean: ## remove what was built
	rm -rf $(B)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

-include $(shell find $(B)/glibc $(B)/musl $(B)/test $(B)/guest/builtin $(B)/tests/guests $(B)/asan -name "*.d" -type f 2>/dev/null)
.PHONY: all sanitized clean help unit jail-tests trial fuzz fuzz-replay deps deps-build deps-demo check check-all check-run demo bench soak check-layers check-programs format lint install uninstall
