#include "inspect.h"

#include "../cpu/backend.h"
#include "../cpu/conv_kernel.h"
#include "../cpu/gemm/gemm.h"
#include "../cpu/isa.h"
#include "../cpu/pool.h"
#include "transfer.h"

namespace quanto::ops {

Tensor fromBytes(const Bytes& bytes, DType dtype, const Shape& shape, Device& device) {
  return fromHost(bytes.data, bytes.size, dtype, shape, device);
}

Shape shapeOf(const Tensor& tensor) { return tensor.shape(); }
Shape stridesOf(const Tensor& tensor) { return tensor.strides(); }
DType dtypeOf(const Tensor& tensor) { return tensor.dtype(); }
int64_t deviceOf(const Tensor& tensor) { return tensor.device().id; }
bool isContiguous(const Tensor& tensor) { return tensor.contiguous(); }
bool isPacked(const Tensor& tensor) { return tensor.packed(); }
int64_t versionOf(const Tensor& tensor) { return tensor.storage()->version; }
// User-space addresses fit in 53 bits, so a JS number holds one.
int64_t storageOf(const Tensor& tensor) { return static_cast<int64_t>(reinterpret_cast<intptr_t>(tensor.storage().get())); }
int64_t storageBytes(const Tensor& tensor) { return tensor.storage()->bytes(); }

int64_t deviceId(const std::string& name) { return deviceByName(name).id; }
std::string deviceName(int64_t id) { return deviceById(id).name; }
std::vector<std::string> deviceNames() { return quanto::deviceNames(); }
std::vector<int64_t> deviceMemory(int64_t id) {
  const Allocator& allocator = deviceById(id).allocator;
  return {static_cast<int64_t>(allocator.usedBytes()), static_cast<int64_t>(allocator.cachedBytes())};
}
std::string describeDevice(int64_t id) {
  const Backend& backend = deviceById(id).backend;
  return backend.describe ? backend.describe() : "";
}
std::string loadBackendFile(const std::string& path) { return loadBackend(path); }
void synchronize() {
  Stream& stream = Environment::current().stream;
  stream.submit(0, [&stream]() noexcept { stream.finishQueues(); });
  stream.synchronize();
}

int64_t threadCount() { return cpu::threadCount(); }
void setThreadCount(int64_t count) {
  if (count < 1 || count > 1024) fail(ErrorCode::INVALID_ARGUMENT, "[setNumThreads] expected 1 to 1024 threads but got ", count);
  cpu::setThreadCount(static_cast<int>(count));
}
std::string cpuDescription() {
  return text("isa=", cpu::isaName(cpu::bestIsa()), "; ", cpu::gemmDescription(), ", conv: ", cpu::convInt8Kernel().name);
}

}  // namespace quanto::ops
