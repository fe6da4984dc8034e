#include "device.h"

#include <dlfcn.h>

#include <deque>
#include <mutex>

#include "cpu/backend.h"
#include "error.h"

namespace quanto {

namespace {

// Never destroyed: tensors of other threads may outlive static destructors.
struct Registry {
  std::mutex mutex;
  std::deque<Device> devices;
  void add(const Backend& backend) {
    for (int32_t index = 0; index < backend.deviceCount(); ++index)
      devices.emplace_back(backend, index, static_cast<int32_t>(devices.size()));
  }
};

Registry& registry() {
  static Registry* instance = [] {
    auto* made = new Registry;
    made->add(*cpu::cpuBackend());
    return made;
  }();
  return *instance;
}

std::string deviceName(const Backend& backend, int32_t index) {
  return &backend == cpu::cpuBackend() ? backend.name : text(backend.name, ":", index);
}

}  // namespace

Device::Device(const Backend& backend, int32_t index, int32_t id)
    : backend(backend), index(index), id(id), name(deviceName(backend, index)), allocator(backend, index) {}

Device& cpuDevice() {
  static Device& cpu = registry().devices.front();
  return cpu;
}

Device& deviceById(int64_t id) {
  if (id == 0) return cpuDevice();
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  if (id < 0 || id >= static_cast<int64_t>(all.devices.size())) fail(ErrorCode::INVALID_ARGUMENT, "[device] there is no device ", id);
  return all.devices[id];
}

Device& deviceByName(const std::string& name) {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  std::string known;
  for (Device& device : all.devices) {
    if (device.name == name || (device.index == 0 && device.backend.name == name)) return device;
    known += (known.empty() ? "" : ", ") + device.name;
  }
  fail(ErrorCode::DEVICE_UNAVAILABLE, "[device] expected one of ", known, " but got '", name, "'; isAvailable('", name,
       "') tells why a device is missing");
}

std::string loadBackend(const std::string& path) {
  if (path.empty() || path.find('\0') != std::string::npos)
    fail(ErrorCode::DEVICE_UNAVAILABLE, "[loadBackend] expected the path of a shared library but got '", path.c_str(), "'");
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) fail(ErrorCode::DEVICE_UNAVAILABLE, "[loadBackend] cannot load ", path, ": ", dlerror());
  const auto open = reinterpret_cast<OpenBackend>(dlsym(library, kOpenBackendSymbol));
  if (!open) {
    dlclose(library);
    fail(ErrorCode::DEVICE_UNAVAILABLE, "[loadBackend] ", path, " exports no ", kOpenBackendSymbol, "; it is no Quanto backend");
  }
  // From here on never closed: its code serves tensors until the process ends.
  const Backend* backend = open();
  if (!backend || backend->abi != kBackendAbi)
    fail(ErrorCode::DEVICE_UNAVAILABLE, "[loadBackend] ", path,
         " was built for another version of Quanto; rebuild it together with the addon");
  for (const Device& device : all.devices) {
    if (&device.backend == backend) return backend->name;
    if (std::string(device.backend.name) == backend->name)
      fail(ErrorCode::DEVICE_UNAVAILABLE, "[loadBackend] a backend named ", backend->name, " is already loaded");
  }
  if (const char* reason = backend->unavailable()) fail(ErrorCode::DEVICE_UNAVAILABLE, "[loadBackend] ", backend->name, ": ", reason);
  if (backend->deviceCount() < 1) fail(ErrorCode::DEVICE_UNAVAILABLE, "[loadBackend] ", backend->name, ": this machine has no such device");
  all.add(*backend);
  return backend->name;
}

std::vector<std::string> deviceNames() {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  std::vector<std::string> names;
  for (const Device& device : all.devices) names.push_back(device.name);
  return names;
}

size_t cachedBytesOfAllDevices() {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  size_t bytes = 0;
  for (const Device& device : all.devices) bytes += device.allocator.cachedBytes();
  return bytes;
}

void trimAllDevices() {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  for (Device& device : all.devices) device.allocator.trim();
}

}  // namespace quanto
