#!/bin/bash
# What the nested host runs: the built-in guest's tests on real kvm-amd with cgroup v2, the attempts to
# get out of the jails, then Debian's kernel, then Debian's tools at work; in full also what a request costs in exits, and
# the hostile guest.
cd "$(dirname "$0")/../.." || exit 1
status=0
tests/system/builtin.sh || status=1
for part in layers.sh processes.py rootless.sh; do tests/system/$part || status=1; done
ROUNDS=some STEP=163 tests/system/killed.sh || status=1
tests/system/endings.sh || status=1
tests/system/caps.py || status=1
tests/system/verity.sh || status=1
tests/system/readiness.sh || status=1
tests/system/rules.py clock_gettime || status=1 # needed where the clock is hpet
if [ "${ROUNDS:-some}" = full ]; then
	tests/system/prober.sh || status=1 # each layer by itself as well, some minutes here
else
	"${B:-build}/cofferdam" selftest || status=1
fi
tests/system/linux.sh || status=1
tests/system/friendly.py || status=1
if [ "${ROUNDS:-some}" = full ]; then
	tests/system/exits.py || status=1
	ROUNDS=some tests/system/hostile.py || status=1 # as delivered: sanitizers find here what they find on any KVM
fi
exit $status
