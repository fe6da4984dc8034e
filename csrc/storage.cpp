#include "storage.h"

namespace quanto {

Storage::Storage(Account& account, Device& device, int64_t bytes) : account_(&account), device_(device), bytes_(bytes) {}

Storage::Storage(Account& account, Device& device, int64_t bytes, void* data, void (*drop)(void*, int64_t))
    : Storage(account, device, bytes) {
  data_ = data;
  drop_ = drop;
  account.take(bytes);
}

bool Storage::materialize() {
  if (data_) return true;
  data_ = device_.allocator.allocate(static_cast<size_t>(bytes_));
  if (!data_) return false;
  account_->take(bytes_);
  return true;
}

Storage::~Storage() {
  if (drop_) drop_(data_, bytes_);
  else if (data_) device_.allocator.release(data_, static_cast<size_t>(bytes_));
  if (data_) account_->giveBack(bytes_);
}

}  // namespace quanto
