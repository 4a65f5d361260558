# What a developer types. `make test` is all that CI runs; nothing here needs more than Debian and a Rust toolchain.
SHELL := /bin/bash -euo pipefail
.DEFAULT_GOAL := help
ARCH ?= amd64
.PHONY: help deps build image images image-deps image-run image-test image-boot image-reproducible demo check pictures test lints units scenarios sim fuzz powercut bench supply audit clean

# Overridden on the command line: make sim HOURS=1000000, make fuzz FOR=300
HOURS ?= 10000
FOR ?= 60
CUTS ?= 1000
# The Debian packages used, each with the command or file by which it is found. nft names protocols from netbase. dnsmasq serves
# the networks, udhcpc is the client that the lab asks with. A real Prometheus holds the rules and dashboards to their word, chromium
# looks at the pages as a browser does.
NEEDS := nft:nftables ip:iproute2 cc:gcc systemd-analyze:systemd sysctl:procps update-ca-certificates:ca-certificates /etc/protocols:netbase dnsmasq:dnsmasq-base udhcpc:udhcpc promtool:prometheus amtool:prometheus-alertmanager chromium:chromium mkfs.ext4:e2fsprogs losetup:mount

# What the image's targets need besides: a tree of packages, an emulator with its firmware, the lab's providers.
IMAGE_NEEDS := mmdebstrap:mmdebstrap mcopy:mtools qemu-system-x86_64:qemu-system-x86 /usr/share/OVMF/OVMF_CODE_4M.fd:ovmf \
	qemu-system-aarch64:qemu-system-arm /usr/share/AAVMF/AAVMF_CODE.fd:qemu-efi-aarch64 /usr/lib/u-boot/qemu_arm64/u-boot.bin:u-boot-qemu \
	qemu-aarch64-static:qemu-user-static arch-test:arch-test /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring \
	aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu /usr/aarch64-linux-gnu/include/stdint.h:libc6-dev-arm64-cross x86_64-linux-gnu-gcc:gcc \
	ping:iputils-ping ssh:openssh-client git:git

target := $(or $(CARGO_TARGET_DIR),target)
release := $(target)/release/causeway
# Network namespaces need root, or a user namespace in which we are root.
inside := tools/inside
nextest := $(shell command -v cargo-nextest)

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 12

deps: ## install the Debian packages that are missing, and say so
	@tools/deps $(NEEDS)

build: deps ## the release binary
	cargo build --release --locked

image-deps: deps
	@tools/deps $(IMAGE_NEEDS)

image: image-deps ## a disk image to flash: make image ARCH=amd64 (or arm64); needs root
	image/build $(ARCH)

images: image-deps ## both of them, what one core does alone side by side
	image/program amd64 arm64
	$(MAKE) --no-print-directory --jobs=2 --output-sync image-amd64 image-arm64

.PHONY: image-amd64 image-arm64
image-amd64 image-arm64: image-%:
	image/build $*

image-run: build image ## boots it beside two providers and a LAN host, until Ctrl-C
	$(release) lab image --arch $(ARCH) $(target)/image-$(ARCH)/disk.raw

image-test: image ## what a branch sees of the booted image, with the figures; FIRMWARE=u-boot.bin for arm64 without EDK2
	@$(MAKE) --no-print-directory image-boot

image-boot: # the same of an image that is there already
	ARCH=$(ARCH) IMAGE=$(abspath $(target)/image-$(ARCH)) tools/inside cargo test --locked --test image -- --ignored --test-threads=1 --nocapture

image-reproducible: image-deps ## two builds of the image, part by part: the same bytes? Needs root
	image/reproducible $(ARCH)

demo: build ## a branch with two providers in namespaces, an outage, the failover with its figures
	$(release) lab demo

check: ## quick: does it compile, without running anything
	cargo check --locked --all-targets

test: deps lints units scenarios ## everything CI runs; as root also both images, and amd64's booted
	@$(MAKE) --no-print-directory sim HOURS=10000
ifeq ($(shell id -u),0)
	@$(MAKE) --no-print-directory images
	@$(MAKE) --no-print-directory image-boot ARCH=amd64
else
	@echo 'left out: the images, because package trees and mounts take root (sudo make images image-boot)'
endif
	@echo 'all of make test passed'

lints: ## formatting and lints, of the lab's build and the image's
	cargo fmt --check
	cargo clippy --locked --lib --bins -- -D warnings
	cargo clippy --locked --lib --bins --no-default-features -- -D warnings
	cargo clippy --locked --all-targets -- -D warnings -A clippy::disallowed_methods # tests may measure time

units: ## all tests but scenarios and the simulator
ifneq ($(nextest),)
	$(inside) cargo nextest run --locked
else
	$(inside) cargo test --locked --lib --bins
	$(inside) cargo test --locked --tests -- --test-threads=1
endif
	cargo test --locked --doc

# Each has namespaces of its own and a quarter of a core to do; what one says comes in one piece.
scenarios: build ## outages in network namespaces, the real daemon, checked against tests/scenarios/
	@printf '%s\n' tests/scenarios/*.toml | xargs -P 2 -I '{}' sh -c 'said=$$($(release) lab run "$$1" 2>&1); ended=$$?; echo "$$said"; exit $$ended' - '{}'

sim: build ## simulated outages: make sim HOURS=10000
	$(release) lab sim --hours $(HOURS)

fuzz: ## each parser of foreign bytes: make fuzz FOR=60 (seconds each; needs nightly and cargo-fuzz)
	tools/fuzz $(FOR)

powercut: ## the store of configs on a real ext4 that loses its power: make powercut CUTS=1000
	CUTS=$(CUTS) cargo test --locked --test powercut_ext4 -- --nocapture

bench: build ## the figures the design promises, measured on the binary that the image gets
	image/program $(shell dpkg --print-architecture)
	CAUSEWAY_PROGRAM=$(abspath $(target)/$(shell uname -m)-unknown-linux-musl/image/causeway) $(release) lab bench

pictures: deps ## docs/pictures/ again: each dashboard, drawn from the scripted outage (needs chromium)
	@tools/deps chromium:chromium
	CAUSEWAY_PICTURES=1 cargo test --locked --test watched pictures

supply: ## licences, sources, duplicates and banned crates, as deny.toml says
	cargo test --locked --test supply

audit: ## known weaknesses of our crates: make audit DB=a checkout of the advisory database
	@test -n '$(DB)' || { echo 'say where the advisory database is: make audit DB=path'; exit 64; }
	@echo "database of $$(git -C '$(DB)' log -1 --format=%cs)"
	cargo audit --no-fetch --deny warnings --db '$(DB)'

clean: ## remove what was built
	cargo clean
