# The short way to everything; meson does the work. See docs/build.md.
BUILD   := build
PREFIX  ?= /usr/local
DESTDIR ?=
LOGMILL := $(BUILD)/logmill

.PHONY: all run test bench install clean setup
.DEFAULT_GOAL := all

all: $(BUILD)/build.ninja
	@meson compile -C $(BUILD)

$(BUILD)/build.ninja:
	@scripts/setup build
	@meson setup --prefix $(PREFIX) $(BUILD)

# Install what is missing, build, mill the sample logs.
run:
	@scripts/setup run
	@$(MAKE) --no-print-directory all
	@LOGMILL=$(LOGMILL) scripts/demo

# Install what is missing, build, run every test; the last line says how many.
test:
	@scripts/setup test
	@scripts/test

bench:
	@scripts/setup bench
	@$(MAKE) --no-print-directory all
	@LOGMILL=$(LOGMILL) scripts/bench

install: all
	@meson configure $(BUILD) --prefix $(PREFIX)
	@DESTDIR="$(DESTDIR)" meson install -C $(BUILD)

clean:
	rm -rf $(BUILD) build-asan build-tsan build-fuzz build-edge build-arm64
