# SPDX-License-Identifier: GPL-2.0-only
#
# dm-circle out of tree. `make help` lists what there is.

SHELL := /bin/bash
Q     ?= @

# Headers of every series that we support, the newest of each; another kernel is
# built by naming it: make modules KVER=...
KVERS := $(shell scripts/kernels)
KVER  ?= $(shell scripts/kernels --default)

# Each kernel has a mirror of the sources to build in: 6.1 cannot be told to
# put its objects elsewhere.
OUT   := build/$(KVER)
KDIR  ?= /lib/modules/$(KVER)/build
# The lock: two builds for one kernel at a time would spoil each other.
KMAKE  = flock $(OUT).lock $(MAKE) -C $(KDIR) M=$(CURDIR)/$(OUT) W=1

.PHONY: modules
modules: mirror
	$(Q)$(KMAKE) modules

.PHONY: mirror
mirror:
	$(Q)test -e $(KDIR)/Makefile || { echo "no headers of kernel '$(KVER)', try: make deps"; exit 1; }
	$(Q)scripts/mirror $(OUT)

.PHONY: modules_install
modules_install: modules
	$(Q)$(MAKE) -C $(KDIR) M=$(CURDIR)/$(OUT) modules_install

.PHONY: all
all:
	$(Q)for v in $(KVERS); do $(MAKE) modules KVER=$$v || exit 1; done

.PHONY: kernels
kernels:
	$(Q)scripts/kernels

.PHONY: deps
deps:
	$(Q)scripts/deps

# sparse: ours is what it says about our files; headers of the kernel have their own faults.
.PHONY: sparse
sparse: mirror
	$(Q)scripts/check-sparse $(KDIR) $(CURDIR)/$(OUT)

LINT := layers size style shell
.PHONY: lint $(LINT:%=lint-%) lint-faults
lint: $(LINT:%=lint-%) lint-faults
	$(Q)for v in $(KVERS); do $(MAKE) sparse KVER=$$v || exit 1; done
$(LINT:%=lint-%): lint-%:
	$(Q)scripts/check-$*
lint-faults:
	$(Q)scripts/fault-matrix --check

.PHONY: unit fuzz
unit fuzz:
	$(Q)if [ -e tests/$@/Makefile ]; then $(MAKE) -C tests/$@; else echo "# no tests/$@"; fi

# circle_check and the like, for administrators
.PHONY: tools tools_install tools_check
tools:
	$(Q)$(MAKE) -C tools

tools_install: tools
	$(Q)$(MAKE) -C tools install

tools_check:
	$(Q)$(MAKE) -C tools check
# Hit ratios of our policy and of others; TRACES="a.csv b.csv" takes traces of your own.
.PHONY: policy-sim
policy-sim:
	$(Q)$(MAKE) -C tests/sim/policy TRACES="$(abspath $(TRACES))" ARGS="$(ARGS)"

# Random schedules of a circle against an oracle, a million of them, all cores; see tests/sim/circle.
.PHONY: sim
sim:
	$(Q)$(MAKE) -C tests/sim/circle $(COUNT:%=COUNT=%) $(SEED:%=SEED=%) $(JOBS:%=JOBS=%)

# Hostile frames at a node in a VM, in five attacks of so many SECONDS.
.PHONY: fuzz-live
fuzz-live: modules
	$(Q)$(MAKE) -C tests/tools
	$(Q)KVER=$(KVER) REPO=$(CURDIR) tests/vm/run-one --kver $(KVER) --mem 1536 --smp 2 --modules dm-circle,null_blk \
		--timeout $$((600 + 20 * $(or $(SECONDS),60))) -- tests/selftests/56-garbage.sh \
		SECONDS_EACH=$(or $(SECONDS),60) $(SEED:%=SEED=%)

# The rules, with spin: all cases, or those that make check runs; T="pattern..." selects by name.
.PHONY: model model-short
model model-short:
	$(Q)tests/model/run $(if $(filter %-short,$@),--short) $(JOBS:%=--jobs %) $(T)

.PHONY: selftests
selftests: modules
	$(Q)tests/selftests/run --kver $(KVER) $(T)

.PHONY: check
check:
	$(Q)scripts/check

# A crash at every write of a workload, an hour or less; T=FROM-TO: only these of SEED's last recording.
.PHONY: crash-sweep
crash-sweep: modules
	$(Q)$(MAKE) -C tests/tools
	$(Q)scripts/crash-sweep --kver $(KVER) $(SEED:%=--seed %) $(JOBS:%=--jobs %) $(T)

# Faults at random for so many MINUTES; SEED=n RUNS=1 repeats one. KVER=debug, if there is that kernel.
.PHONY: soak
soak: modules
	$(Q)$(MAKE) -C tests/tools
	$(Q)tests/soak/run --kver $(KVER) $(MINUTES:%=--minutes %) $(SEED:%=--seed %) $(RUNS:%=--runs %) $(JOBS:%=--jobs %)

# The same tests on a kernel with KASAN, lockdep, kmemleak: slow, and not part of check.
.PHONY: check-debug
check-debug: deps
	$(Q)scripts/debug-kernel
	$(Q)$(MAKE) -C tests/tools
	$(Q)VM_SLOW=5 tests/selftests/run --kver debug $(or $(T),.sh)

# Data races of ours, found by KCSAN under what does much at once, then for so many MINUTES of soak.
RACY := 10-local 20-replicate 21-restart 52-heal 55-return
.PHONY: check-kcsan
check-kcsan: deps
	$(Q)scripts/debug-kernel kcsan
	$(Q)$(MAKE) -C tests/tools
	$(Q)VM_SLOW=3 tests/selftests/run --kver kcsan $(or $(T),$(RACY))
	$(Q)VM_SLOW=3 tests/soak/run --kver kcsan --minutes $(or $(MINUTES),5) $(SEED:%=--seed %)

.PHONY: demo
demo: deps
	$(Q)$(MAKE) modules KVER=$$(scripts/kernels | tail -n 1)
	$(Q)tests/demo/run

# In virtual time; PATTERN selects configurations, see Documentation/benchmark.rst.
.PHONY: bench bench-short
bench bench-short: deps
	$(Q)$(MAKE) modules KVER=$$(scripts/kernels | tail -n 1)
	$(Q)tests/bench/run $(if $(filter %-short,$@),--short,$(PATTERN))

.PHONY: clean
clean:
	$(Q)for v in $(KVERS) $(KVER); do rm -rf build/$$v; done
	$(Q)rm -rf build/results build/model
	$(Q)$(MAKE) -C tools clean
	$(Q)for d in policy circle; do $(MAKE) -C tests/sim/$$d clean; done
	$(Q)for d in unit fuzz bench; do [ ! -e tests/$$d/Makefile ] || $(MAKE) -C tests/$$d clean; done

.PHONY: help
help:
	@echo "modules [KVER=]   build for one kernel, into build/<KVER>"
	@echo "all               build for every supported kernel that has headers: $(KVERS)"
	@echo "modules_install   install for KVER"
	@echo "tools             user-space tools, into build/tools-bin; tools_check tests them"
	@echo "tools_install [DESTDIR=] [PREFIX=]  install them and the udev rule"
	@echo "deps              packages and test kernels that the rest needs (root)"
	@echo "lint unit fuzz    checks without a VM"
	@echo "fuzz-live [SECONDS=] [SEED=]  hostile frames at a node in a VM"
	@echo "policy-sim [TRACES=]  hit ratios of caching policies over block traces"
	@echo "sim [COUNT=] [SEED=] [JOBS=]  a million random schedules of a circle in memory, some ten minutes"
	@echo "model [T=pattern] [JOBS=]  Promela models of the rules, an hour or two; model-short: a minute"
	@echo "selftests [T=pattern] [KVER=]  tests in VMs"
	@echo "check             all of it; the last line has the sums"
	@echo "soak [MINUTES=] [SEED=] faults at random, upon one another, for so long (30)"
	@echo "check-debug [T=]  selftests on a kernel with KASAN, lockdep, kmemleak (built first)"
	@echo "check-kcsan [T=] [MINUTES=]  some selftests, and soak, on a kernel that finds data races"
	@echo "crash-sweep [SEED=] [T=from-to] [JOBS=]  a local cache after a crash at every write of a workload"
	@echo "bench [PATTERN=]  measure in virtual time, some 20 minutes; bench-short: against the baseline"
	@echo "demo              see it work"
	@echo "clean             remove what was built (test kernels stay)"
