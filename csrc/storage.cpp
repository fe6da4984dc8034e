#include "storage.h"

namespace quanto {

Storage::Storage(Account& account, Device& device, int64_t bytes) : account_(&account), device_(device), bytes_(bytes) {
  account.add(bytes);
}

Storage::Storage(Account& account, Device& device, int64_t bytes, void* data, void (*drop)(void*, int64_t))
    : Storage(account, device, bytes) {
  data_ = data;
  drop_ = drop;
}

bool Storage::materialize() {
  if (!data_) data_ = device_.allocator.allocate(static_cast<size_t>(bytes_));
  return data_ != nullptr;
}

Storage::~Storage() {
  if (drop_) drop_(data_, bytes_);
  else if (data_) device_.allocator.release(data_, static_cast<size_t>(bytes_));
  account_->remove(bytes_);
}

}  // namespace quanto
