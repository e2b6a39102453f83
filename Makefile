# SPDX-License-Identifier: Apache-2.0
# A thin front of Meson. CONTRIBUTING.md says what each target is for.
BUILD := build
NINJA := ninja -C

.PHONY: all
all: $(BUILD)/build.ninja
	$(NINJA) $(BUILD)

$(BUILD)/build.ninja:
	meson setup $(BUILD)

# ---- using it ----

.PHONY: setup guest initramfs run install uninstall
setup:
	scripts/setup

guest:
	scripts/fetch_guest cloud
	$(MAKE) initramfs

initramfs: $(BUILD)/guest/initramfs.cpio

$(BUILD)/guest/initramfs.cpio: guest/lodge-init.c scripts/mkinitramfs
	scripts/mkinitramfs $@

run: setup
	$(MAKE) $(BUILD)/build.ninja guest
	$(NINJA) $(BUILD) lodge
	scripts/run_demo $(BUILD)

install: all
	meson install -C $(BUILD) --no-rebuild

uninstall:
	$(NINJA) $(BUILD) uninstall

# ---- checking it ----

.PHONY: check check-only check-long check-kvm-linux asan tsan clang fuzz-cpu bench mutate
check: setup
	-scripts/fetch_guest cloud full i386
	$(MAKE) check-only

# The same without set-up and downloads.
check-only: all
	-$(MAKE) -s initramfs
	scripts/run_checks

check-long: all
	scripts/run_checks tests/checks-long.list

check-kvm-linux: all
	tests/e2e/kvm_linux

asan: $(BUILD)/asan/build.ninja
	$(NINJA) $(BUILD)/asan
	scripts/run_checks -b $(BUILD)/asan $(if $(MATCH),-m '$(MATCH)')

tsan: $(BUILD)/tsan/build.ninja
	$(NINJA) $(BUILD)/tsan
	scripts/run_checks -b $(BUILD)/tsan $(if $(MATCH),-m '$(MATCH)')

clang: $(BUILD)/clang/build.ninja
	$(NINJA) $(BUILD)/clang

$(BUILD)/asan/build.ninja:
	meson setup $(BUILD)/asan -Db_sanitize=address,undefined -Doptimization=1

$(BUILD)/tsan/build.ninja:
	meson setup $(BUILD)/tsan -Db_sanitize=thread -Doptimization=1

$(BUILD)/clang/build.ninja:
	CC=clang meson setup $(BUILD)/clang

fuzz-cpu: all
	$(BUILD)/tests/diff/fuzz_cpu $(ARGS)

bench: all guest
	$(NINJA) $(BUILD) bench/loads
	bench/run.py --json $(BUILD)/bench/results.json $(ARGS)

mutate: all
	tests/mutate

# ---- tidying up ----

.PHONY: clean distclean format-check
clean: # keeps the downloaded guests
	find $(BUILD) -mindepth 1 -maxdepth 1 ! -name guest -exec rm -rf {} + 2>/dev/null || true

distclean:
	rm -rf $(BUILD)

format-check:
	scripts/format_check
