// The plugin's one export, and which devices it serves.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "backend.h"
#include "blas_lt.h"
#include "device.h"

#if !defined(__CUDACC__)
#include "emulator/checked.h"
#endif

namespace quanto::cuda {

namespace {

struct Machine {
  std::vector<int> ordinals;
  std::string reason;  // empty where there is a device
  std::string description;
};

std::string versionText(int version) { return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10); }

// What QUANTO_VISIBLE_DEVICES leaves, in its order. A text that is no list of device numbers hides all.
std::string chooseDevices(int count, std::vector<int>& ordinals) {
  const char* chosen = std::getenv("QUANTO_VISIBLE_DEVICES");
  if (!chosen) {
    for (int i = 0; i < count; ++i) ordinals.push_back(i);
    return {};
  }
  const std::string text = chosen;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string item = text.substr(begin, end - begin);
    const bool number = !item.empty() && item.size() < 4 && item.find_first_not_of("0123456789") == std::string::npos;
    const int ordinal = number ? std::stoi(item) : -1;
    if (ordinal < 0 || ordinal >= count)
      return "QUANTO_VISIBLE_DEVICES expected numbers from 0 to " + std::to_string(count - 1) + ", separated by commas, but got '" + text +
             "'";
    ordinals.push_back(ordinal);
    begin = end + 1;
  }
  return ordinals.empty() ? "QUANTO_VISIBLE_DEVICES hides every device" : std::string();
}

// "2 (NVIDIA A100 80GB PCIe, compute 8.0, 79 GiB; ...)"
std::string nameDevices(const std::vector<int>& ordinals) {
  std::string names;
  for (const int ordinal : ordinals) {
    cudaDeviceProp properties{};
    if (cudaGetDeviceProperties(&properties, ordinal) != cudaSuccess) continue;
    names += std::string(names.empty() ? " (" : "; ") + properties.name + ", compute " + std::to_string(properties.major) + "." +
             std::to_string(properties.minor) + ", " + std::to_string(properties.totalGlobalMem >> 30) + " GiB";
  }
  return std::to_string(ordinals.size()) + (names.empty() ? "" : names + ")");
}

Machine findMachine() {
  Machine machine;
  int count = 0, driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorInsufficientDriver) {
    machine.reason = driver == 0
                         ? "no NVIDIA driver is installed; the plugin needs version 580 or later (CUDA " + versionText(runtime) + ")"
                         : "the NVIDIA driver serves CUDA " + versionText(driver) + " but the plugin needs " + versionText(runtime) +
                               "; install driver 580 or later";
  } else if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0)) {
    machine.reason = "the NVIDIA driver finds no GPU on this machine";
  } else if (error != cudaSuccess) {
    machine.reason = std::string("the CUDA runtime failed: ") + cudaGetErrorString(error);
  } else {
    machine.reason = chooseDevices(count, machine.ordinals);
    if (!machine.reason.empty()) machine.ordinals.clear();
  }
  machine.description = "driver: " + (driver == 0 ? std::string("none") : "CUDA " + versionText(driver)) + "; runtime: CUDA " +
                        versionText(runtime) + "; devices: " + nameDevices(machine.ordinals) + "; " + describeBlasLt();
  return machine;
}

const Machine& machine() {
  static const Machine& only = *new Machine(findMachine());
  return only;
}

}  // namespace

const char* unavailable() { return machine().reason.empty() ? nullptr : machine().reason.c_str(); }
int32_t deviceCount() { return static_cast<int32_t>(machine().ordinals.size()); }
int ordinalOf(int32_t device) { return machine().ordinals[static_cast<size_t>(device)]; }
const char* describe() { return machine().description.c_str(); }

namespace {

Backend makeBackend() {
  Backend backend{};
  backend.abi = kBackendAbi;
  backend.name = "cuda";
  backend.unavailable = unavailable;
  backend.deviceCount = deviceCount;
  backend.openQueue = openQueue;
  backend.closeQueue = closeQueue;
  backend.synchronize = synchronize;
  backend.allocate = allocate;
  backend.release = release;
  backend.copyFromHost = copyFromHost;
  backend.copyToHost = copyToHost;
  backend.packedBitsBytes = packedBitsBytes;
  backend.packedConvBytes = packedConvBytes;
  backend.describe = describe;
#if defined(__CUDACC__)
#define KERNEL(name, parameters) backend.name = cuda::name;
#else
#define KERNEL(name, parameters) backend.name = cuda::name ? emulator::checked<cuda::name> : nullptr;
#endif
#include "../csrc/kernels.def"
#undef KERNEL
  return backend;
}

}  // namespace

}  // namespace quanto::cuda

extern "C" __attribute__((visibility("default"))) const quanto::Backend* quantoOpenBackend() {
  static const quanto::Backend backend = quanto::cuda::makeBackend();
  return &backend;
}
