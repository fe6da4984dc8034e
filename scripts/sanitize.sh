#!/usr/bin/env bash
# Runs the tests on an addon built with a sanitizer: npm run sanitize -- address|thread [--cuda | --short] [jest's arguments]
# `address` is AddressSanitizer with UndefinedBehaviorSanitizer, `thread` is ThreadSanitizer; both need g++ and its runtimes.
# --short runs the tests of the core alone, and leaves out programs that take minutes: the matrix product's own test and, of threads, those
# whose many cases differ in arithmetic only. What is left of these runs kernels on several threads through JavaScript and linear_int8_test.
# --cuda runs the CUDA kernels' own tests under the emulator, programs without Node: a data race between the threads of a block is reported.
set -euo pipefail
cd "$(dirname "$0")/.."

sanitizer=${1:-}
shift || true
case $sanitizer in
  address) library=libasan.so flags=address,undefined long='gemm_test' ;;
  thread) library=libtsan.so flags=thread long='(gemm|weight_bits|amx|row_loops|kernels_\w+|layouts|ops|quantize_affine|shape|isa)_test' ;;
  *) echo "usage: npm run sanitize -- address|thread [--cuda | --short]" >&2; exit 2 ;;
esac

# ThreadSanitizer's memory layout does not bear every address randomization.
fixed_addresses=()
if [[ $sanitizer == thread ]] && setarch -R true 2>/dev/null; then fixed_addresses=(setarch -R); fi

if [[ ${1:-} == --cuda ]]; then
  out=build/sanitize-cuda-$sanitizer
  cmake -S . -B "$out" --log-level=WARNING -DQUANTO_SANITIZE="$flags" -DCMAKE_BUILD_TYPE=Release
  cmake --build "$out" --target cuda_tests --parallel "$(nproc)"
  export ASAN_OPTIONS=exitcode=66 UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=exitcode=66
  for program in "$out"/test/*_test; do "${fixed_addresses[@]}" "$program"; done
  exit
fi

tests=()
if [[ ${1:-} == --short ]]; then
  shift
  tests=('test/native/' --testNamePattern "^(?!$long)")
fi

out=build/sanitize-$sanitizer
node scripts/build-native.mjs --sanitize="$sanitizer"
rm -f "$out"/report.*

# Node itself is not instrumented: its own leaks and its own synchronization are none of our business.
# A request for too much memory must be refused, as it is without a sanitizer.
options="log_path=$PWD/$out/report:exitcode=66:allocator_may_return_null=1"
export ASAN_OPTIONS="$options:detect_leaks=0"
export UBSAN_OPTIONS="$options:print_stacktrace=1"
export TSAN_OPTIONS="$options:ignore_noninstrumented_modules=1:die_after_fork=0"
export QUANTO_ADDON="$PWD/$out/quanto.node"

status=0
"${fixed_addresses[@]}" env LD_PRELOAD="$(g++ -print-file-name=$library)" \
  node node_modules/jest/bin/jest.js "${tests[@]}" "$@" --runInBand --testTimeout=1200000 --testPathIgnorePatterns '/test/(meta|examples)/' ||
  status=1

# Also what child processes of the tests reported. A report without a summary is a refused request for memory.
for report in "$out"/report.*; do
  [[ -e $report ]] && grep -q 'SUMMARY: ' "$report" || continue
  cat "$report"
  status=1
done
exit $status
