# SPDX-License-Identifier: Apache-2.0
# A thin front of Meson: see CONTRIBUTING.md for what each target is for.
BUILD := build

.PHONY: all
all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	meson setup $(BUILD)
