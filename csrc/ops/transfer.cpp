#include "transfer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "shape.h"

namespace quanto::ops {

namespace {

using detail::failureOf;
using detail::statusOf;

// The first byte of a row-major tensor; on the stream only.
char* firstByte(const Tensor& tensor) {
  return static_cast<char*>(tensor.storage()->data()) + tensor.offset() * static_cast<int64_t>(sizeOf(tensor.dtype()));
}

// A descriptor of our own: the caller's may be closed, and its number reused, before the stream comes to the read.
class OpenFile {
 public:
  explicit OpenFile(int64_t descriptor) {
    if (std::in_range<int>(descriptor)) descriptor_ = fcntl(static_cast<int>(descriptor), F_DUPFD_CLOEXEC, 0);
    if (descriptor_ < 0) fail(ErrorCode::IO, "[readFile] expected an open file but got descriptor ", descriptor);
  }
  OpenFile(OpenFile&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  OpenFile(const OpenFile&) = delete;
  ~OpenFile() {
    if (descriptor_ >= 0) close(descriptor_);
  }

  // On the stream: the failure is returned.
  std::shared_ptr<const Error> read(char* to, int64_t position, int64_t bytes) const noexcept try {
    constexpr int64_t kLargestRead = 1 << 30;
    while (bytes > 0) {
      const ssize_t count = pread(descriptor_, to, static_cast<size_t>(std::min(bytes, kLargestRead)), position);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return std::make_shared<const Error>(ErrorCode::IO, text("[readFile] cannot read: ", std::strerror(errno)));
      if (count == 0)
        return std::make_shared<const Error>(ErrorCode::IO, text("[readFile] expected ", bytes, " more bytes at ", position,
                                                                 " but the file ends; it became shorter since it was opened"));
      to += count;
      position += count;
      bytes -= count;
    }
    return nullptr;
  } catch (const std::bad_alloc&) {
    return failureOf(Status::outOfMemory, "readFile", cpuDevice());
  }

 private:
  int descriptor_ = -1;
};

// Between devices, one of which is mostly the CPU; other pairs go through the host.
Status copyBytes(Stream& stream, const Tensor& src, const Tensor& dst) {
  Device &from = src.device(), &to = dst.device();
  const size_t bytes = static_cast<size_t>(dst.bytes());
  if (bytes == 0) return Status::ok;
  if (&from == &cpuDevice()) return to.backend.copyFromHost(stream.queue(to), firstByte(dst), firstByte(src), bytes);
  if (&to == &cpuDevice()) return from.backend.copyToHost(stream.queue(from), firstByte(dst), firstByte(src), bytes);
  std::vector<char> host(bytes);
  const Status status = from.backend.copyToHost(stream.queue(from), host.data(), firstByte(src), bytes);
  return status == Status::ok ? to.backend.copyFromHost(stream.queue(to), firstByte(dst), host.data(), bytes) : status;
}

}  // namespace

Tensor fromHost(const void* data, int64_t bytes, DType dtype, const Shape& shape, Device& device) {
  const Tensor dst = empty(shape, dtype, device);
  if (dst.bytes() != bytes)
    fail(ErrorCode::SHAPE_MISMATCH, "[tensor] expected ", dst.numel(), " elements (", dst.bytes(), " bytes) for shape ", shape.str(),
         " but got ", bytes, " bytes");
  // Nothing else can see the new storage, so on the CPU its bytes are written here, ahead of the stream.
  if (&device == &cpuDevice()) {
    if (!dst.storage()->materialize()) throw Error(*failureOf(Status::outOfMemory, "tensor", device));
    if (bytes > 0) std::memcpy(dst.storage()->data(), data, static_cast<size_t>(bytes));
    return dst;
  }
  const char* start = static_cast<const char*>(data);
  Stream& stream = Environment::current().stream;
  stream.submit(bytesCost(bytes), [dst, &stream, &device, copy = std::vector<char>(start, start + bytes)]() noexcept {
    Storage& storage = *dst.storage();
    const Status status = statusOf([&] {
      if (!storage.materialize()) return Status::outOfMemory;
      return device.backend.copyFromHost(stream.queue(device), storage.data(), copy.data(), copy.size());
    });
    storage.failure = failureOf(status, "tensor", device);
  });
  return dst;
}

void readToHost(const Tensor& src, void* host, std::function<void(std::shared_ptr<const Error>)> done) {
  const Tensor source = contiguous(src);
  Stream& stream = Environment::current().stream;
  stream.submit(bytesCost(source.bytes()), [source, host, &stream, done = std::move(done)]() noexcept {
    Device& device = source.device();
    std::shared_ptr<const Error> failure = source.storage()->failure;
    if (!failure && source.bytes() > 0) {
      const auto copy = [&] {
        return device.backend.copyToHost(stream.queue(device), host, firstByte(source), static_cast<size_t>(source.bytes()));
      };
      failure = failureOf(statusOf(copy), "data", device);
    }
    done(std::move(failure));
  });
}

void readToHostNow(const Tensor& src, void* host) {
  std::shared_ptr<const Error> failure;
  readToHost(src, host, [&failure](std::shared_ptr<const Error> given) { failure = std::move(given); });
  Environment::current().stream.synchronize();
  Environment::current().stream.turn();
  if (failure) throw Error(*failure);
}

Tensor moveBytes(const Tensor& src, Device& device) {
  if (src.packed()) fail(ErrorCode::NOT_SUPPORTED, "[to] a packed weight must be unpacked before it moves to ", device.name);
  const Tensor dst = empty(src.shape(), src.dtype(), device);
  Stream& stream = Environment::current().stream;
  stream.submit(bytesCost(src.bytes()), [src, dst, &stream]() noexcept {
    Storage& storage = *dst.storage();
    storage.failure = src.storage()->failure;
    if (storage.failure) return;
    const Status status = statusOf([&] { return storage.materialize() ? copyBytes(stream, src, dst) : Status::outOfMemory; });
    storage.failure = failureOf(status, "to", dst.device());
  });
  return dst;
}

Tensor mapFile(const std::string& path) {
  if (path.find('\0') != std::string::npos)
    fail(ErrorCode::IO, "[mapFile] expected a path without zero bytes but got ", path.c_str(), "...");
  // Without O_NONBLOCK opening a named pipe would wait for a writer.
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) fail(ErrorCode::IO, "[mapFile] cannot open ", path, ": ", std::strerror(errno));
  struct stat status;
  const bool regular = fstat(file, &status) == 0 && S_ISREG(status.st_mode);
  const int64_t bytes = regular ? static_cast<int64_t>(status.st_size) : 0;
  void* data = nullptr;  // an empty file cannot be mapped and needs no mapping
  if (bytes > 0) data = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file, 0);
  const int problem = errno;
  close(file);
  if (!regular) fail(ErrorCode::IO, "[mapFile] expected a regular file but ", path, " is not one");
  if (data == MAP_FAILED) fail(ErrorCode::IO, "[mapFile] cannot map ", path, ": ", std::strerror(problem));
  if (bytes == 0) return empty({0}, DType::uint8, cpuDevice());
  const auto drop = [](void* mapped, int64_t size) { munmap(mapped, static_cast<size_t>(size)); };
  Account& account = *Environment::current().account;
  return Tensor(Ref<Storage>(new Storage(account, cpuDevice(), bytes, data, drop)), {bytes}, DType::uint8);
}

Tensor readFile(int64_t descriptor, int64_t position, int64_t bytes) {
  const Tensor dst = empty({bytes}, DType::uint8, cpuDevice());
  // Never on the calling thread: a disk may take any time.
  constexpr double kNanoseconds = 1e9;
  Environment::current().stream.submit(kNanoseconds, [dst, position, bytes, file = OpenFile(descriptor)]() noexcept {
    Storage& storage = *dst.storage();
    storage.failure = storage.materialize() ? file.read(static_cast<char*>(storage.data()), position, bytes)
                                            : failureOf(Status::outOfMemory, "readFile", storage.device());
  });
  return dst;
}

}  // namespace quanto::ops
