# One non-recursive build:   make [MODE=debug|release|asan|tsan|cov] [target]
#
#   make                all services and tools       build/<mode>/bin/<name>
#   make test           unit tests                   build/<mode>/tests/unit/...
#   make fuzz           libFuzzer targets (clang)    build/fuzz/tests/fuzz/...
#   make coverage       lines of the parsers that unit tests and corpora reach (build/cov)
#   make lint           layers, formatting, cppcheck, shellcheck; scripts/lint --full: clang-tidy, too
#
# Adding a service is adding a folder below services/ and its row in USES.

MODE ?= debug
B    := build/$(MODE)
GEN  := build/gen
Q    := @

# ---- who may use whom: folder -> the folders it uses (the layers of docs/architecture.md) -------
USES.base     :=
USES.log      := base
USES.config   := base
USES.crypto   := base
USES.dicom    := base
USES.proto    :=
USES.pack     := base crypto dicom proto
USES.database := base
USES.http     := base
USES.wire     := base crypto proto
USES.association := base
USES.client   := base wire proto
USES.service  := base log config wire http client crypto proto

USES.index    := service client database pack dicom log
USES.dimse    := service client pack dicom association log
USES.dicomweb := service client pack dicom http log
USES.cli      := client pack dicom config

# ---- third-party parts: folder -> its libraries (each is included from that folder only) --------
LIBS.config   := -lyaml
LIBS.crypto   := -lcrypto -lz
LIBS.dicom    := -lz
LIBS.proto    := -lprotobuf-c
LIBS.database := -lsqlite3 -lpq
LIBS.http     := -lcivetweb
LIBS.wire     := -lczmq -lzmq
LIBS.dicomweb := -lz -ljansson
LIBS.cli      := -larchive
LIBS.dimse    := -lseccomp

# BLAKE3 in C, of its authors, as Debian has it: among the sources of the Rust crate, which has no library
BLAKE3     := $(firstword $(wildcard /usr/share/cargo/registry/blake3-*/c))
BLAKE3.x86_64  := blake3_sse2_x86-64_unix.S blake3_sse41_x86-64_unix.S blake3_avx2_x86-64_unix.S blake3_avx512_x86-64_unix.S
BLAKE3.aarch64 := blake3_neon.c
DEFINE.aarch64 := -DBLAKE3_USE_NEON=1
MACHINE    := $(shell uname -m)
PARTS.crypto := blake3.c blake3_dispatch.c blake3_portable.c $(BLAKE3.$(MACHINE))

COMMON   := base log config crypto dicom proto pack database http wire association client service
SERVICES := $(notdir $(patsubst %/,%,$(dir $(wildcard services/*/main.c))))

# ---- modes ---------------------------------------------------------------------------------------
WARN  := -Wall -Wextra -Wshadow -Wconversion -Wvla -Wformat=2 -Wstrict-prototypes -Werror
HARD  := -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection -ftrivial-auto-var-init=zero
CC    ?= gcc
CC.debug := gcc
CC.fuzz  := clang
FLAGS.debug   := -O1 -g
FLAGS.release := -O2 -g $(HARD)
FLAGS.asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
FLAGS.tsan    := -O1 -g -fsanitize=thread
FLAGS.cov     := -O0 -g --coverage -Wno-error # what gcc guesses at without -O1 is wrong at times
FLAGS.fuzz    := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
# What is not ours and not built for the sanitizer is passed over, each with its reason.
RUN.tsan      := TSAN_OPTIONS=suppressions=$(CURDIR)/tests/tsan.supp
LINK.release  := -pie -Wl,-z,relro,-z,now
PIC.release   := -fPIE
ifeq ($(MODE),fuzz)
CC  := clang
endif
LIBPQ    := $(addprefix -isystem ,$(shell pg_config --includedir))
LANGUAGE := -std=gnu11 -D_GNU_SOURCE -Icommon -Iservices -I$(GEN) -isystem $(GEN)/proto $(LIBPQ) -isystem $(BLAKE3)
CFLAGS   := $(LANGUAGE) $(WARN) $(FLAGS.$(MODE)) $(PIC.$(MODE)) -MMD -MP
LDFLAGS  := $(FLAGS.$(MODE)) $(LINK.$(MODE)) -Wl,--as-needed -pthread

# ---- generated: messages of proto/, the data dictionary -----------------------------------------
PROTOS  := $(wildcard proto/*.proto)
PROTO_C := $(patsubst proto/%.proto,$(GEN)/proto/%.pb-c.c,$(PROTOS))
PROTO_H := $(PROTO_C:.c=.h)
DICTIONARY := $(GEN)/dicom/dictionary_table.c
DICOM_DIC  := $(firstword $(wildcard /usr/share/libdcmtk*/dicom.dic))

# ---- objects -------------------------------------------------------------------------------------
sources.proto := $(PROTO_C)
folder_sources = $(or $(sources.$1),$(wildcard common/$1/*.c) $(filter-out services/$1/main.c services/$1/%/main.c,$(wildcard services/$1/*.c services/$1/*/*.c)))
sources.dicom := $(wildcard common/dicom/*.c) $(DICTIONARY)
objects = $(patsubst %,$(B)/obj/%.o,$1)
closure = $(sort $1 $(foreach f,$(USES.$1),$(call closure,$f)))
archive = $(B)/lib/$1.a
archives = $(foreach f,$(call closure,$1),$(call archive,$f))
link_libs = $(foreach f,$(call closure,$1),$(LIBS.$f))

.PHONY: all gen flags test-binaries test fuzz coverage lint clean
.SECONDARY:
.SECONDEXPANSION:
all: $(patsubst %,$(B)/bin/zpacs-%,$(SERVICES)) $(B)/bin/zpacs-dimse-zygote

$(GEN)/proto/%.pb-c.c $(GEN)/proto/%.pb-c.h &: proto/%.proto
	@echo "GEN $<"; mkdir -p $(@D)
	$(Q)protoc --c_out=$(GEN)/proto --proto_path=proto $<

$(DICTIONARY): scripts/make-dictionary $(DICOM_DIC)
	@echo "GEN $@"; mkdir -p $(@D)
	$(Q)scripts/make-dictionary $(DICOM_DIC) > $@.tmp && mv $@.tmp $@

# For what reads our C without compiling it: the generated files, and how C is to be read.
gen: $(PROTO_H) $(DICTIONARY)
flags:
	@echo '$(LANGUAGE)'

$(B)/obj/$(GEN)/proto/%.c.o: $(GEN)/proto/%.c
	@echo "CC $<"; mkdir -p $(@D)
	$(Q)$(CC) $(filter-out $(WARN),$(CFLAGS)) -c $< -o $@

$(B)/obj/parts/%.o: $(BLAKE3)/%
	@echo "CC $<"; mkdir -p $(@D)
	$(Q)$(CC) $(FLAGS.$(MODE)) $(PIC.$(MODE)) $(DEFINE.$(MACHINE)) -w -c $< -o $@

$(B)/obj/%.c.o: %.c | $(PROTO_H)
	@echo "CC $<"; mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -c $< -o $@

$(B)/lib/%.a: $$(call objects,$$(call folder_sources,$$*)) $$(addprefix $(B)/obj/parts/,$$(addsuffix .o,$$(PARTS.$$*)))
	@echo "AR $@"; mkdir -p $(@D); rm -f $@
	$(Q)ar rcs $@ $(filter %.o,$^)

$(B)/bin/zpacs-%: $(B)/obj/services/%/main.c.o $$(call archives,$$*)
	@echo "LD $@"; mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(call link_libs,$*)

# A second program of a service, from services/<service>/<program>/main.c: it links what that needs of the same.
$(B)/bin/zpacs-dimse-zygote: $(B)/obj/services/dimse/zygote/main.c.o $(call archives,dimse)
	@echo "LD $@"; mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(call link_libs,dimse)

# ---- tests: tests/unit/<folder>/<name>_test.c links with <folder> and what it uses ---------------
UNIT := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/*/*_test.c))
test-binaries: $(UNIT)
$(B)/tests/unit/%: $(B)/obj/tests/unit/%.c.o $$(call archives,$$(firstword $$(subst /, ,$$*)))
	@echo "LD $@"; mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(call link_libs,$(firstword $(subst /, ,$*))) -lcmocka
test: $(UNIT)
	$(Q)$(RUN.$(MODE)) scripts/run-unit-tests $(UNIT)

# tests/tools/<folder>_<name>.c: what integration tests drive; links with <folder> and what it uses
$(B)/tests/tools/%: $(B)/obj/tests/tools/%.c.o $$(call archives,$$(firstword $$(subst _, ,$$*)))
	@echo "LD $@"; mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(call link_libs,$(firstword $(subst _, ,$*)))

# tests/fuzz/<folder>/<name>_fuzz.c, run with tests/fuzz/<folder>/corpus-<name>/: by libFuzzer in
# mode fuzz; in any other by a loop over the files
FUZZ := $(patsubst tests/fuzz/%.c,$(B)/tests/fuzz/%,$(wildcard tests/fuzz/*/*_fuzz.c))
FUZZ_MAIN := $(if $(filter fuzz,$(MODE)),,$(B)/obj/tests/fuzz/replay.c.o)
$(B)/tests/fuzz/%: $(B)/obj/tests/fuzz/%.c.o $(FUZZ_MAIN) $$(call archives,$$(firstword $$(subst /, ,$$*)))
	@echo "LD $@"; mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) $(if $(FUZZ_MAIN),,-fsanitize=fuzzer) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(call link_libs,$(firstword $(subst /, ,$*))) -lcmocka
ifeq ($(MODE),fuzz)
fuzz: $(FUZZ)
else
fuzz:
	$(Q)$(MAKE) MODE=fuzz fuzz
endif

# Line coverage of what reads untrusted bytes, by unit tests and corpora together: scripts/coverage
ifeq ($(MODE),cov)
coverage: $(UNIT) $(FUZZ)
	$(Q)scripts/coverage $(UNIT) $(FUZZ)
else
coverage:
	$(Q)$(MAKE) MODE=cov coverage
endif

# tests/crash/<name>.c: drivers of the crash tests, over the packs
$(B)/tests/crash/%: $(B)/obj/tests/crash/%.c.o $$(call archives,pack)
	@echo "LD $@"; mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(call link_libs,pack)

# tests/<kind>/*.so: preloads that inject faults
$(B)/tests/%.so: tests/%.c
	@echo "LD $@"; mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE -O1 -g $(WARN) -shared -fPIC -o $@ $< -ldl

lint:
	$(Q)scripts/lint

clean:
	rm -rf build

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
