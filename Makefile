# ramtrack-bpf: build, tests, demo. Nothing here needs root except running the tracer itself.
#
#   make            build/ramtrack-bpf
#   make demo       install what is missing from Debian (as root), build, trace a small start-up
#   make test       the same, then every test that this kernel can run
#   make help       the other targets

VERSION  := 0.1.0
CLANG    ?= clang-14
BPFTOOL  ?= $(firstword $(wildcard /usr/sbin/bpftool /sbin/bpftool /usr/local/sbin/bpftool) bpftool)
CC       ?= gcc
ifeq ($(origin CC),default)
CC       := gcc
endif
PREFIX   ?= /usr/local
PYTHON   ?= /usr/bin/python3
B        := build

# V=1 shows the commands.
ifneq ($(V),1)
MAKEFLAGS += --silent
say = @echo '  $(1)'
else
say = @:
endif

CFLAGS   ?= -O2 -g
WARN     := -Wall -Wextra -Werror -Wno-unused-parameter
ALLFLAGS  = -std=gnu11 -D_GNU_SOURCE= $(CFLAGS) $(WARN) -MMD -MP -Iinclude -Isrc -I$(B) -DRT_VERSION='"$(VERSION)"' \
	    -DRT_PROFILE_DIR='"$(PREFIX)/share/ramtrack-bpf/profiles"'
BPFFLAGS := -g -O2 -target bpf -D__BPF__ -D__TARGET_ARCH_x86 -mcpu=v3 $(WARN)
LIBS     := -lbpf -lelf -lz -lzstd -lyaml -ljansson -lm -lpthread -lstdc++ # the last for __cxa_demangle

# The pure core knows neither libbpf nor /proc; the edges do.
EDGES    := probe skel session watch holdings outputs launch procfs pytarget log main
EDGES    += entrywatch entryprobe nativewatch nativemaps probe_native nativesym nativejail kfeat hostinfo precheck doctor doctarget
EDGES    += verdict diffcmd wholefile terminal recording reportcmd
EDGES    += probe_kernel probe_load probe_cost pytarget_file session_begin session_end
PURE     := $(filter-out $(EDGES),$(basename $(notdir $(wildcard src/*.c))))
PURE_OBJ := $(PURE:%=$(B)/%.o)
EDGE_OBJ := $(EDGES:%=$(B)/%.o)

.PHONY: all demo test fuzz test-unit test-host test-e2e test-vllm test-vm kernels-doc check-profile bench install deps clean help
.DELETE_ON_ERROR:

all: $(B)/ramtrack-bpf $(B)/pyprobe

help:
	@sed -n '3,7s/^# \{0,1\}//p' Makefile
	@echo "  make test-unit | test-host | test-e2e | test-vm | test-vllm | kernels-doc | check-profile | bench | fuzz | install PREFIX= DESTDIR= | clean"

$(B):
	mkdir -p $(B) $(B)/san

# ---- kernel side ----

$(B)/ramtrack.bpf.o: bpf/ramtrack.bpf.c | $(B)
	$(call say,BPF  $@)
	$(CLANG) $(BPFFLAGS) -MMD -MP -c $< -o $@

# The same sources for kernels before 5.17 (bpf/compat.bpf.h).
$(B)/ramtrack_old.bpf.o: bpf/ramtrack.bpf.c | $(B)
	$(call say,BPF  $@)
	$(CLANG) $(BPFFLAGS) -DRT_OLD_KERNEL -MMD -MP -c $< -o $@

$(B)/%.skel.h: $(B)/%.bpf.o
	$(BPFTOOL) gen skeleton $< name $* > $@ 2> $(B)/$*.skel.log || { cat $(B)/$*.skel.log >&2; rm -f $@; exit 1; }

# One program per kernel feature, for doctor.
$(B)/featprobe.bpf.o: bpf/featprobe.bpf.c | $(B)
	$(call say,BPF  $@)
	$(CLANG) $(BPFFLAGS) -MMD -MP -c $< -o $@

$(B)/featprobe.skel.h: $(B)/featprobe.bpf.o
	$(BPFTOOL) gen skeleton $< name featprobe > $@ 2> $(B)/featskel.log || { cat $(B)/featskel.log >&2; rm -f $@; exit 1; }

# ---- user side ----

$(B)/%.o: src/%.c | $(B)
	$(call say,CC   $@)
	$(CC) $(ALLFLAGS) -c $< -o $@

$(B)/skel.o: $(B)/ramtrack.skel.h $(B)/ramtrack_old.skel.h
$(B)/kfeat.o: $(B)/featprobe.skel.h

# The page of --html around its data: style, script, chart library.
$(B)/page.h: tools/page.py $(wildcard page/*) | $(B)
	$(call say,PAGE $@)
	$(PYTHON) tools/page.py $@

$(B)/htmlpage.o $(B)/san/htmlpage.o: $(B)/page.h

$(B)/libramtrack.a: $(PURE_OBJ)
	rm -f $@ && $(AR) rcs $@ $^

$(B)/ramtrack-bpf: $(EDGE_OBJ) $(B)/libramtrack.a
	$(call say,LINK $@)
	$(CC) $(CFLAGS) -o $@ $^ $(LIBS) $(LDFLAGS)

PYPROBE  := tools/pyprobe.c tools/linetruth.c

$(B)/pyprobe: $(PYPROBE) tools/hex.h tools/linetruth.h $(B)/libramtrack.a | $(B)
	$(CC) $(ALLFLAGS) -o $@ $(PYPROBE) $(B)/libramtrack.a $(LIBS)

$(B)/nativeprobe: tools/nativeprobe.c $(B)/nativesym.o $(B)/nativejail.o $(B)/libramtrack.a | $(B)
	$(CC) $(ALLFLAGS) -o $@ $< $(B)/nativesym.o $(B)/nativejail.o $(B)/libramtrack.a $(LIBS)

install: all
	install -D -m 755 $(B)/ramtrack-bpf $(DESTDIR)$(PREFIX)/bin/ramtrack-bpf
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/ramtrack-bpf/profiles profiles/*.yaml
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/ramtrack-bpf/schema docs/schema/*.json
	install -D -m 644 doc/ramtrack-bpf.1 $(DESTDIR)$(PREFIX)/share/man/man1/ramtrack-bpf.1

clean:
	rm -rf $(B)

# ---- what a fresh Debian needs ----

DEPS     := clang-14 llvm-14 bpftool libbpf-dev libelf-dev zlib1g-dev libyaml-dev libjansson-dev libzstd-dev gcc g++ libc6-dev pkg-config python3
DEPS     += node-d3-axis node-d3-brush node-d3-scale node-d3-selection node-d3-shape
TESTDEPS := $(DEPS) libcmocka-dev libclang-rt-14-dev python3-pytest python3-jsonschema python3-dev python3-venv util-linux procps
BROWSER  := chromium-headless-shell
VMDEPS   := qemu-system-x86 busybox-static cpio xz-utils zstd

deps:
	@tools/install-deps.sh $(DEPS)

test-deps:
	@tools/install-deps.sh $(TESTDEPS)
	@tools/install-deps.sh $(BROWSER) || echo "make: without a browser the tests of --html's page are skipped"

# ---- tests ----

SAN      := -fsanitize=address,undefined -fno-omit-frame-pointer -O1 -g
UNIT     := $(basename $(notdir $(wildcard tests/unit/test_*.c)))
# Modules that a unit test links: the whole pure core and the edges that need no BPF.
UNIT_SRC := $(PURE:%=src/%.c) src/procfs.c src/pytarget.c src/pytarget_file.c src/nativesym.c src/nativejail.c src/wholefile.c
UNIT_OBJ := $(UNIT_SRC:src/%.c=$(B)/san/%.o)

$(B)/san/%.o: src/%.c | $(B)
	$(call say,SAN  $@)
	$(CLANG) $(ALLFLAGS) $(SAN) -c $< -o $@

$(B)/san/test_%: tests/unit/test_%.c $(UNIT_OBJ)
	$(call say,TEST $@)
	$(CLANG) $(ALLFLAGS) $(SAN) -o $@ $< $(UNIT_OBJ) -lcmocka $(LIBS) -lm

# What test_nativefuzz damages.
NATIVE   := tests/unit/data/native

$(B)/san/native_seed.so: $(NATIVE)/lib.cpp $(NATIVE)/shapes.s | $(B)
	$(CXX) -std=c++17 -shared -fPIC -O2 -fcf-protection=full -Wl,--build-id -Wl,--hash-style=gnu -o $@ $^

$(B)/san/test_nativefuzz: | $(B)/san/native_seed.so

$(B)/san/pyprobe: $(PYPROBE) tools/hex.h tools/linetruth.h $(UNIT_OBJ)
	$(CLANG) $(ALLFLAGS) $(SAN) -o $@ $(PYPROBE) $(UNIT_OBJ) $(LIBS)

# A made-up run as large as one wishes, as a page; for tests/e2e/test_html.py.
$(B)/pagegen: tests/page/generate.c $(B)/libramtrack.a | $(B)
	$(CC) $(ALLFLAGS) -o $@ $< $(B)/libramtrack.a $(LIBS)

test-unit: $(UNIT:%=$(B)/san/%) $(B)/san/pyprobe $(B)/nativeprobe
	@tests/run.sh unit $(UNIT:%=$(B)/san/%)

test-host: $(B)/host/test_walk $(B)/host/test_walk_old
	@tests/run.sh host $^

HOST_CC   = $(CLANG) -std=gnu11 -D_GNU_SOURCE= $(SAN) -fno-sanitize=alignment -Wall -Wno-unused-function -Wno-unused-variable -Itests/host/shim -Iinclude -Itests/host
HOST_DEPS := $(wildcard tests/host/shim/*/*.h tests/host/*.h bpf/*.h include/*.h)

# The walker as today's kernels run it, and as those before 5.17 do.
$(B)/host/test_walk: tests/host/test_walk.c $(HOST_DEPS) | $(B)
	mkdir -p $(B)/host
	$(HOST_CC) -o $@ $< -lcmocka

$(B)/host/test_walk_old: tests/host/test_walk.c $(HOST_DEPS) | $(B)
	mkdir -p $(B)/host
	$(HOST_CC) -DRT_OLD_KERNEL -o $@ $< -lcmocka

test-e2e: all $(B)/pagegen
	@tests/run.sh e2e

test: test-deps
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory test-all

test-all: all $(B)/pagegen $(UNIT:%=$(B)/san/%) $(B)/san/pyprobe $(B)/nativeprobe $(B)/host/test_walk $(B)/host/test_walk_old
	@tests/run.sh all $(UNIT:%=$(B)/san/%)

test-vllm: test-deps all
	@tests/run.sh vllm

# Kernels of Debian's releases in emulated machines; VM_KERNELS="6.1 6.12" for some of them.
test-vm: test-deps
	@tools/install-deps.sh $(VMDEPS)
	@$(MAKE) --no-print-directory all
	@$(PYTHON) tests/vm/matrix.py $(VM_KERNELS)

# The same, and its table into docs/kernels.md.
kernels-doc: test-vm
	@$(PYTHON) tests/vm/kernels_doc.py docs/kernels.md

# Damaged ledgers and ELF files, as many as are asked for, other ones each time; the first ones are in test-unit.
fuzz: $(B)/san/test_ledger_fuzz $(B)/san/test_nativefuzz
	@RT_FUZZ_RUNS=$${RT_FUZZ_RUNS:-200000} RT_FUZZ_SEED=$${RT_FUZZ_SEED:-$$(date +%s)} $(B)/san/test_ledger_fuzz
	@RT_FUZZ_ROUNDS=$${RT_FUZZ_ROUNDS:-50000} RT_FUZZ_SEED=$${RT_FUZZ_SEED:-$$(date +%s)} $(B)/san/test_nativefuzz

check-profile: $(B)/pyprobe $(B)/nativeprobe
	$(PYTHON) tools/check_native.py --profile profiles/vllm.yaml --nativeprobe $(B)/nativeprobe --docs docs/vllm.md
	$(PYTHON) tools/check_profile.py --profile profiles/vllm.yaml --pyprobe $(B)/pyprobe --docs docs/vllm.md

bench: all
	@bench/run.sh

# The demo's native functions: local symbols, entries not inlined.
$(B)/demo/vllm/_C.abi3.so: demo/shm.cpp
	mkdir -p $(@D)
	$(call say,CXX  $@)
	$(CXX) -O1 -g $(WARN) -fPIC -shared -o $@ $<

demo: deps
	@$(MAKE) --no-print-directory all $(B)/demo/vllm/_C.abi3.so
	@demo/run.sh

-include $(wildcard $(B)/*.d $(B)/san/*.d)
