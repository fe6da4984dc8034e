// The memory that the tiles of a direct convolution read: for a band of output rows, either the padded image or unrolled patches, as
// elements of 4 bytes (conv_kernel.h).
#pragma once

#include "conv_direct.h"

namespace quanto::cpu {

// Whether the padded image is not much larger than the image itself.
bool canPad(const ConvShape& shape);

class PatchPlan {
 public:
  explicit PatchPlan(const DirectConv& conv);

  // Output rows of a band whose memory stays in the second-level cache, if there are to be about so many bands.
  int64_t bandRows(int64_t bands) const;
  // Fixes the layout for bands of at most so many rows; false when out of memory. Other threads may use the plan while this one does.
  bool layOut(int64_t rows);
  bool halved() const { return halved_; }
  // From a vector's source to each element of the patch of its first pixel.
  const int64_t* offsets() const { return offsets_; }
  // Elements of the two buffers, and vectors of pixels, of a band.
  int64_t patchElements() const { return patchElements_; }
  int64_t encodedElements() const { return encodedElements_; }
  int64_t vectors() const { return vectors_; }

  // Makes the patches of output rows [firstRow, firstRow + rows).
  void fill(int64_t image, int64_t group, int64_t firstRow, int64_t rows, uint32_t* encoded, uint32_t* patches) const;
  // The planes of an image and group, counted through.
  const void* planes(int64_t pair) const { return plane(0, pair * shape_.inChannels); }
  // The vectors of pixels of a band; returns how many.
  int64_t listPixels(int64_t rows, const uint32_t* patches, PixelVector* out) const;

 private:
  // Rows of the image that a band reads, of those that exist.
  struct ImageRows {
    int64_t begin, end;
  };
  // The same rows as elements, blockStride apart for each block of channels.
  struct Encoded {
    const uint32_t* data;
    int64_t blockStride;
  };

  int64_t rowElements() const { return slots_ * pitch_; }
  int64_t paddedRows(int64_t rows) const;
  // Whether any output row reads this row of the padded band.
  bool isRead(int64_t paddedRow) const;
  ImageRows imageRows(int64_t firstRow, int64_t rows) const;
  const void* plane(int64_t image, int64_t channel) const;

  // Neighbouring runs of pixels of a plane, `first` being where the first one begins, and where they go: `stride` elements apart. Runs of
  // real values, which are not joined, go side by side.
  struct PixelRows {
    int64_t first, length, count, stride;
  };
  void encodeBlock(int64_t image, int64_t group, int64_t block, PixelRows rows, uint32_t* out) const;
  Encoded encode(int64_t image, int64_t group, ImageRows rows, uint32_t* buffer) const;
  RowPlacement placement() const;
  void pad(int64_t firstRow, int64_t rows, ImageRows have, Encoded from, uint32_t* patches) const;
  // Codes straight into a padded image whose rows have no other parts.
  void encodePadded(int64_t image, int64_t group, int64_t firstRow, int64_t rows, uint32_t* patches) const;
  void unroll(int64_t firstRow, int64_t rows, ImageRows have, Encoded from, uint32_t* patches) const;
  void padTaps(int64_t image, int64_t group, int64_t firstRow, int64_t rows, int8_t* codes, uint32_t* patches) const;

  const DirectConv& conv_;
  const ConvShape& shape_;
  bool byTaps_, unrolled_;
  bool straight_ = false;
  bool halved_;    // two short rows of the output share a vector
  uint32_t zero_;  // an element of zeros
  // A padded row is cut into one part for each phase of the stride, or for each column of taps.
  int64_t slots_, pitch_;
  int64_t blocks_, elements_;  // of conv_, which divides to find them
  int64_t blockStride_ = 0, patchElements_ = 0, encodedElements_ = 0, vectors_ = 0;
  int64_t* offsets_ = nullptr;
};

}  // namespace quanto::cpu
