// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/safetensors.h"

#include "checkpoint/json.h"
#include "core/error.h"
#include "core/halves.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <numeric>
#include <tuple>
#include <utility>

namespace ringmaster::checkpoint {

static_assert(std::endian::native == std::endian::little, "tensor bytes are written as they lie in memory");

namespace {

constexpr int64_t page = 4096;                    // data starts at a multiple of it
constexpr uint64_t largest_header = 100'000'000;  // the format's own bound
constexpr std::string_view metadata_key = "__metadata__";

constexpr std::array<std::pair<DType, std::string_view>, 9> dtypes{
    {{DType::f32, "F32"},
     {DType::bf16, "BF16"},
     {DType::f16, "F16"},
     {DType::f64, "F64"},
     {DType::i32, "I32"},
     {DType::i64, "I64"},
     {DType::u8, "U8"},
     {DType::u16, "U16"},
     {DType::u8, "BOOL"}}};  // only read: masks of PyTorch

Error refuse(const std::string& file, std::string message, std::string expected = {}) {
  return Error({.kind = ErrorKind::checkpoint,
                .message = "bad safetensors header: " + std::move(message),
                .file = file,
                .expected = std::move(expected)});
}

// Byte count of a tensor, or -1 if dims x element size do not fit. Zero dims count as 1 for the bound, so that no partial
// product (a stride) overflows either.
int64_t checked_bytes(std::span<const uint64_t> dims, DType dtype) {
  int64_t bound = size_of(dtype);
  bool empty = false;
  for (const uint64_t dim : dims) {
    empty |= dim == 0;
    if (dim > static_cast<uint64_t>(INT64_MAX)) return -1;
    if (__builtin_mul_overflow(bound, std::max<int64_t>(static_cast<int64_t>(dim), 1), &bound)) return -1;
  }
  return empty ? 0 : bound;
}

// Receives the header's JSON as events: nothing is built but the tensors, so memory stays near the header's own size.
class HeaderEvents {
 public:
  HeaderEvents(SafetensorsHeader& header, const std::string& file) : header_(header), file_(file) {}

  bool null() { throw unexpected("null"); }
  bool boolean(bool) { throw unexpected("a boolean"); }
  bool number_integer(int64_t value) { throw unexpected(fmt::format("{}", value)); }  // only negative ones come here
  bool number_float(double, const std::string& text) { throw unexpected(text); }
  bool binary(nlohmann::json::binary_t&) { throw unexpected("binary data"); }

  bool number_unsigned(uint64_t value) {
    if (place_ != Place::list) throw unexpected(fmt::format("{}", value));
    (field_ == "shape" ? dims_ : offsets_).push_back(value);
    if (dims_.size() > Shape::max_rank)
      throw refuse(file_, fmt::format("tensor {} has more than {} dims", quoted(), +Shape::max_rank));
    if (offsets_.size() > 2) throw refuse(file_, fmt::format("data_offsets of {} has more than 2 numbers", quoted()));
    return true;
  }

  bool string(std::string& value) {
    if (place_ == Place::metadata) {
      if (!header_.metadata.emplace(field_, value).second) throw twice(field_);
      return true;
    }
    if (place_ != Place::tensor || field_ != "dtype") throw unexpected("a string");
    const auto* found = std::find_if(dtypes.begin(), dtypes.end(), [&](const auto& d) { return d.second == value; });
    if (found == dtypes.end()) {
      throw refuse(file_, fmt::format("dtype of {} is \"{}\"", quoted(), value),
                   "F32, BF16, F16, F64, I32, I64, U8, U16 or BOOL");
    }
    dtype_ = found->first;
    return true;
  }

  bool start_object(size_t) {
    if (place_ == Place::outside)
      place_ = Place::top;
    else if (place_ == Place::top && name_ == metadata_key)
      place_ = Place::metadata;
    else if (place_ == Place::top)
      place_ = Place::tensor;
    else
      throw unexpected("an object");
    return true;
  }

  bool key(std::string& key) {
    if (place_ == Place::top) {
      if (key.empty()) throw refuse(file_, "a tensor has an empty name");
      if (key == metadata_key && std::exchange(seen_metadata_, true)) throw twice(key);
      name_ = key;
      seen_.clear();
      return true;
    }
    field_ = key;
    if (place_ == Place::metadata) return true;
    if (key != "dtype" && key != "shape" && key != "data_offsets") {
      throw refuse(file_, fmt::format("tensor {} has the unknown key \"{}\"", quoted(), key),
                   "dtype, shape, data_offsets");
    }
    if (std::find(seen_.begin(), seen_.end(), key) != seen_.end()) throw twice(key);
    seen_.push_back(key);
    return true;
  }

  bool end_object() {
    if (place_ == Place::tensor) end_tensor();
    place_ = place_ == Place::top ? Place::outside : Place::top;
    return true;
  }

  bool start_array(size_t) {
    if (place_ != Place::tensor || field_ == "dtype") throw unexpected("a list");
    place_ = Place::list;
    return true;
  }
  bool end_array() {
    place_ = Place::tensor;
    return true;
  }

  bool parse_error(size_t byte, const std::string&, const nlohmann::json::exception& e) {
    throw refuse(file_, fmt::format("byte {} of the JSON: {}", byte, json_problem(e)));
  }

 private:
  enum class Place { outside, top, metadata, tensor, list };

  void end_tensor() {
    if (seen_.size() != 3)
      throw refuse(file_, fmt::format("tensor {} lacks one of dtype, shape, data_offsets", quoted()));
    if (offsets_.size() != 2) throw refuse(file_, fmt::format("data_offsets of {} has not 2 numbers", quoted()));
    const int64_t bytes = checked_bytes(dims_, dtype_);
    if (bytes < 0)
      throw refuse(file_, fmt::format("tensor {} of shape [{}] is too large", quoted(), fmt::join(dims_, ",")));
    const uint64_t begin = offsets_[0], end = offsets_[1];
    if (begin > end || end > static_cast<uint64_t>(INT64_MAX) || end - begin != static_cast<uint64_t>(bytes)) {
      throw refuse(file_,
                   fmt::format("tensor {} of dtype {} and shape [{}] has {} bytes, but its data_offsets are [{},{}]",
                               quoted(), safetensors_name(dtype_), fmt::join(dims_, ","), bytes, begin, end));
    }
    TensorEntry tensor{.name = name_, .dtype = dtype_};
    for (const uint64_t dim : dims_) tensor.shape.push_back(static_cast<int64_t>(dim));
    header_.tensors.push_back(std::move(tensor));
    header_.begin.push_back(static_cast<int64_t>(begin));  // relative to the data until the whole header is known
    dims_.clear();
    offsets_.clear();
  }

  std::string quoted() const { return '"' + name_ + '"'; }
  Error unexpected(const std::string& what) const {
    if (place_ == Place::outside) return refuse(file_, fmt::format("{} where an object is expected", what));
    if (place_ == Place::top) return refuse(file_, fmt::format("{} is {}", quoted(), what), "an object");
    return refuse(file_, fmt::format("{} in \"{}\" of {}", what, field_, quoted()));
  }
  Error twice(const std::string& key) const { return refuse(file_, fmt::format("key \"{}\" stands twice", key)); }

  SafetensorsHeader& header_;
  const std::string& file_;
  Place place_ = Place::outside;
  std::string name_, field_;       // keys of the current tensor and of the value in it
  std::vector<std::string> seen_;  // keys of the current tensor
  bool seen_metadata_ = false;
  DType dtype_ = DType::f32;
  std::vector<uint64_t> dims_, offsets_;
};

// Data must be the tensors back to back: no hole, no overlap, nothing before the first or behind the last.
void sort_and_check_data(SafetensorsHeader& header, int64_t data_begin, int64_t file_bytes, const std::string& file) {
  std::vector<size_t> order(header.tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto place = [&](size_t i) { return std::tuple(header.begin[i], header.tensors[i].bytes()); };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return place(a) < place(b); });

  SafetensorsHeader sorted{.metadata = std::move(header.metadata)};
  int64_t end = 0;
  for (const size_t i : order) {
    TensorEntry& tensor = header.tensors[i];
    if (header.begin[i] != end) {
      throw refuse(file, fmt::format("data of \"{}\" begins at {}, {} byte {}, where the tensor before it ends",
                                     tensor.name, header.begin[i], header.begin[i] < end ? "before" : "behind", end));
    }
    if (__builtin_add_overflow(end, tensor.bytes(), &end) || end > file_bytes - data_begin) {
      throw refuse(file, fmt::format("data of \"{}\" has {} bytes from byte {} of the file on, which has {} bytes",
                                     tensor.name, tensor.bytes(), data_begin + header.begin[i], file_bytes));
    }
    sorted.begin.push_back(data_begin + header.begin[i]);
    sorted.tensors.push_back(std::move(tensor));
  }
  if (end != file_bytes - data_begin) {
    throw refuse(file,
                 fmt::format("the tensors end at byte {}, but the file has {} bytes", data_begin + end, file_bytes));
  }
  header = std::move(sorted);
}

}  // namespace

void TensorEntry::for_pieces(const std::function<void(const void*, int64_t)>& piece) const {
  if (remainder == nullptr) return piece(data, bytes());
  std::array<float, 16384> joined;
  const int64_t n = shape.elements();
  for (int64_t i = 0; i < n; i += std::ssize(joined)) {
    const int64_t count = std::min(std::ssize(joined), n - i);
    join_into(joined.data(), static_cast<const bf16*>(data) + i, remainder + i, count);
    piece(joined.data(), count * static_cast<int64_t>(sizeof(float)));
  }
}

std::string_view safetensors_name(DType dtype) {
  for (const auto& [d, text] : dtypes)
    if (d == dtype) return text;
  return "?";
}

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> prefix, int64_t file_bytes,
                                           const std::string& file) {
  uint64_t length = 0;
  if (prefix.size() < sizeof length)
    throw refuse(file, fmt::format("the file has {} bytes", file_bytes), "at least 10 bytes");
  std::memcpy(&length, prefix.data(), sizeof length);
  if (length > largest_header) {
    throw refuse(file, fmt::format("its length is {}", length), fmt::format("at most {}", largest_header));
  }
  if (length > prefix.size() - sizeof length) {
    throw refuse(file, fmt::format("its length is {}, but the file has {} bytes", length, file_bytes));
  }
  const std::string_view text(reinterpret_cast<const char*>(prefix.data()) + sizeof length, length);
  if (!text.starts_with('{')) throw refuse(file, "it does not start with {");
  // The JSON library takes NUL for the end of its input.
  if (text.find('\0') != std::string_view::npos)
    throw refuse(file, fmt::format("NUL at byte {} of the JSON", text.find('\0')));

  SafetensorsHeader header;
  HeaderEvents events(header, file);
  nlohmann::json::sax_parse(text.begin(), text.end(), &events);

  std::vector<std::string_view> names;
  for (const TensorEntry& tensor : header.tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) throw refuse(file, fmt::format("tensor \"{}\" stands twice", *twice));

  sort_and_check_data(header, static_cast<int64_t>(sizeof length + length), file_bytes, file);
  return header;
}

Safetensors::Safetensors(const Path& path, const OpenOptions& options) : file_(path, options) {
  header_ = parse_safetensors_header(file_.bytes(), file_.size(), path.string());
  for (size_t i = 0; i < header_.tensors.size(); ++i) {
    header_.tensors[i].data = file_.bytes().data() + header_.begin[i];
    index_.emplace(header_.tensors[i].name, i);
  }
}

const TensorEntry* Safetensors::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &header_.tensors[found->second];
}

SafetensorsLayout safetensors_layout(std::span<const TensorEntry> tensors) {
  SafetensorsLayout layout;
  layout.order.resize(tensors.size());
  std::iota(layout.order.begin(), layout.order.end(), size_t{0});
  std::sort(layout.order.begin(), layout.order.end(),
            [&](size_t a, size_t b) { return tensors[a].name < tensors[b].name; });

  std::string json = R"({"__metadata__":{"format":"pt"})";
  int64_t end = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TensorEntry& tensor = tensors[layout.order[i]];
    CHECK(!tensor.name.empty() && tensor.name != metadata_key, "a tensor cannot be named \"{}\"", tensor.name);
    CHECK(i == 0 || tensors[layout.order[i - 1]].name != tensor.name, "two tensors are named \"{}\"", tensor.name);
    layout.begin.push_back(end);
    end += tensor.bytes();
    json += fmt::format(R"(,{}:{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})", nlohmann::json(tensor.name).dump(),
                        safetensors_name(tensor.dtype), str(tensor.shape), layout.begin.back(), end);
  }
  json += '}';
  json.resize((json.size() + 8 + page - 1) / page * page - 8, ' ');
  const uint64_t length = json.size();
  CHECK(length <= largest_header, "{} tensors need a header of {} bytes", tensors.size(), length);
  layout.header.assign(reinterpret_cast<const char*>(&length), sizeof length);
  layout.header += json;
  const auto data_begin = static_cast<int64_t>(layout.header.size());
  for (int64_t& begin : layout.begin) begin += data_begin;
  layout.bytes = data_begin + end;
  return layout;
}

void write_safetensors(const Path& path, std::span<const TensorEntry> tensors) {
  const SafetensorsLayout layout = safetensors_layout(tensors);
  write_file_atomic(path, [&](File& file) {
    file.write_all(layout.header.data(), layout.header.size());
    for (const size_t i : layout.order)
      tensors[i].for_pieces([&](const void* p, int64_t bytes) { file.write_all(p, static_cast<size_t>(bytes)); });
  });
}

}  // namespace ringmaster::checkpoint
