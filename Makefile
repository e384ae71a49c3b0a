# SPDX-License-Identifier: MIT
# Short names for what cmake, ctest and the scripts do. Each target installs the Debian packages it lacks.
#   make run     build and show a cluster at work; on a terminal until Ctrl-C
#   make test    release build, every test
#   make bench   the node beside nginx
#   make lint    clang-format, clang-tidy, cppcheck, shellcheck, house rules
#   make soak    full sizes, and mixed load for SOAK_SECONDS
#   make fuzz    each fuzz target for FUZZ_SECONDS
#   make coverage   lines of each library that the tests execute
#   make asan | ubsan | tsan   the tests on a sanitizer's build
JOBS         ?= $(shell nproc)
FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 600
RELEASE       = build/release
NODE          = $(RELEASE)/proxy/elionode
C_FILES       = $(shell find bench cache common controlplane discovery p2p proxy storage tests -name '*.[ch]' | sort)
CTEST         = ctest --output-on-failure -j $(JOBS) --no-tests=error

.PHONY: deps build run test bench lint format fuzz soak asan ubsan tsan coverage clean
.DEFAULT_GOAL = build

deps:
	@.ci/deps build run test lint bench

build:
	@.ci/deps build
	@cmake --preset release --log-level=WARNING > /dev/null
	@cmake --build --preset release

run:
	@.ci/deps build run
	@$(MAKE) --no-print-directory build
	@tests/e2e/demo.sh $(NODE) $(RELEASE)/controlplane/eliocp

test:
	@.ci/deps build test
	@$(MAKE) --no-print-directory build
	@$(CTEST) --test-dir $(RELEASE)

soak:
	@.ci/deps build test
	@$(MAKE) --no-print-directory build
	@ELIO_SOAK_SECONDS=$(SOAK_SECONDS) ctest --test-dir $(RELEASE) -C Soak -L soak --verbose --no-tests=error

asan ubsan tsan:
	@.ci/deps build test
	@cmake --preset $@ --log-level=WARNING > /dev/null
	@cmake --build --preset $@
	@$(if $(filter tsan,$@),setarch -R) $(CTEST) --test-dir build/$@

coverage:
	@.ci/deps build test
	@cmake --preset coverage --log-level=WARNING > /dev/null
	@cmake --build --preset coverage
	@find build/coverage -name '*.gcda' -delete
	@$(CTEST) --test-dir build/coverage -E '^lint/'
	@tests/coverage.sh build/coverage

bench:
	@.ci/deps build bench
	@$(MAKE) --no-print-directory build
	@bench/run $(NODE)

lint:
	@.ci/deps build test lint
	@$(MAKE) --no-print-directory build
	@clang-format --dry-run -Werror $(C_FILES)
	@printf '%s\n' $(filter %.c,$(C_FILES)) | xargs -P $(JOBS) -n 4 clang-tidy -p $(RELEASE) --quiet --warnings-as-errors='*' 2> /dev/null
	@cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr --enable=warning,performance,portability \
		--suppress=missingIncludeSystem --suppress=nullPointerRedundantCheck \
		--suppress=legacyUninitvar -j $(JOBS) -I . $(filter-out tests/%,$(filter %.c,$(C_FILES)))
	@shellcheck .ci/run .ci/deps tests/*.sh tests/e2e/*.sh tests/lint/*.sh
	@$(CTEST) --test-dir $(RELEASE) -L lint

format:
	@.ci/deps lint
	@clang-format -i $(C_FILES)

fuzz:
	@.ci/deps build fuzz
	@cmake --preset fuzz --log-level=WARNING > /dev/null
	@cmake --build --preset fuzz
	@set -e; for target in build/fuzz/tests/fuzz/fuzz_*; do \
		[ -x $$target ] && [ -f $$target ] || continue; \
		name=$${target##*/fuzz_}; corpus=build/fuzz/corpus/$$name; mkdir -p $$corpus; \
		echo "fuzz $$name"; \
		$$target -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 $$corpus \
			$$(ls -d tests/fuzz/corpus/$$name 2> /dev/null); \
	done

clean:
	@rm -rf build
