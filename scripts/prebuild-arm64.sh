#!/usr/bin/env bash
# Cross-compiles the addon for 64-bit ARM Linux into prebuilds/linux-arm64. Without the compiler nothing is made, and that is said.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v aarch64-linux-gnu-g++ > /dev/null; then
  echo "skipped: prebuilds/linux-arm64 needs aarch64-linux-gnu-g++; on Debian run: apt-get install g++-aarch64-linux-gnu"
  exit 0
fi
out=build/arm64
headers="$PWD/node_modules/node-api-headers/include;$PWD/node_modules/node-addon-api"
cmake --no-warn-unused-cli -S . -B $out -DCMAKE_TOOLCHAIN_FILE="$PWD/scripts/arm64.cmake" -DCMAKE_JS_INC="$headers" > /dev/null
cmake --build $out --parallel 2 --target quanto > $out/build.log || { cat $out/build.log; exit 1; }
mkdir -p prebuilds/linux-arm64
aarch64-linux-gnu-strip -o prebuilds/linux-arm64/quanto.glibc.node $out/quanto.node
