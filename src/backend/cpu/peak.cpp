// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/peak.h"

#include "backend/cpu/dnnl_primitive.h"
#include "core/error.h"

#include <sys/mman.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>

namespace ringmaster::backend {
namespace {

// What oneDNN asks for its number of threads, for as long as this lives.
class Threads {
 public:
  explicit Threads(int threads) : saved_(omp_get_max_threads()) { omp_set_num_threads(threads); }
  ~Threads() { omp_set_num_threads(saved_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int saved_;
};

constexpr int64_t huge_page = int64_t{1} << 21;

}  // namespace

double best_seconds(const std::function<void()>& body, const BestOptions& options) {
  constexpr int at_least = 2;
  constexpr double enough_s = 0.05;
  const auto timed = [&] {
    if (options.before) options.before();
    const auto start = std::chrono::steady_clock::now();
    body();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  double best = timed(), total = 0;
  if (best > 2 * options.to_beat) return best;
  for (int i = 0; i < at_least || total < enough_s; ++i) {
    const double seconds = timed();
    best = std::min(best, seconds);
    total += seconds;
  }
  return best;
}

PeakBuffer::PeakBuffer(int64_t bytes) {
  const int64_t step = bytes >= huge_page ? huge_page : alignment,
                size = ceil_div(std::max<int64_t>(bytes, 1), step) * step;
  memory_.reset(static_cast<char*>(std::aligned_alloc(static_cast<size_t>(step), static_cast<size_t>(size))));
  if (memory_ == nullptr) {
    throw Error({.kind = ErrorKind::memory,
                 .message = fmt::format("{} bytes to measure a matrix product on were refused", size),
                 .cure = "raise the memory limit (ulimit -d, ulimit -v, cgroup), or measure a smaller model"});
  }
  if (step == huge_page) ::madvise(memory_.get(), static_cast<size_t>(size), MADV_HUGEPAGE);
}

PeakBuffer::PeakBuffer(int64_t elements, DType dtype) : PeakBuffer(elements * size_of(dtype)) {
  constexpr int64_t drawn = 65521;  // a prime: no row of a matrix is like the next
  std::vector<float> values(static_cast<size_t>(std::min(elements, drawn)));
  uint32_t word = 1;
  for (float& value : values) {
    word = word * 1664525U + 1013904223U;  // Knuth's and Lewis's generator
    value = static_cast<float>(word >> 8) / static_cast<float>(1 << 24) - 0.5F;
  }
  for (int64_t i = 0; i < elements; i += drawn) {
    const int64_t count = std::min(drawn, elements - i);
    char* at = data() + i * size_of(dtype);
    if (dtype == DType::f32)
      std::memcpy(at, values.data(), static_cast<size_t>(count * 4));
    else
      narrow(values.data(), dtype, at, count);
  }
}

void PeakBuffer::Free::operator()(char* p) const { std::free(p); }

class GemmAlone::Impl {
 public:
  Impl(MatmulSpec spec, int threads)
      : spec_(without_bias(spec)),
        threads_(threads),
        ours_(spec_, threads),
        a_(spec.batch * spec.m * spec.k, spec.dtype),
        b_(spec.batch * spec.k * spec.n, spec.dtype),
        c_(spec.batch * spec.m * spec.n, spec.dtype),
        scratch_(ours_.scratch_bytes()) {
    const Threads all(threads);
    if (prepare(false)) ways_.emplace_back("oneDNN");
    if (prepare(true)) ways_.emplace_back("oneDNN, packed b");
    ways_.emplace_back("tasks");
  }

  void run(size_t way) {
    const Threads all(threads_);
    if (way == whole_.size()) {
      ours_.run(a_.data(), b_.data(), nullptr, c_.data(), scratch_.data());
      return;
    }
    Whole& whole = whole_[way];
    void* data[] = {a_.data(), whole.packed_b ? whole.packed_b->data() : b_.data(), c_.data()};
    CHECK(whole.primitive.run(0, data, whole.scratch.data()), "oneDNN failed in a product alone");
  }

  const MatmulSpec& spec() const { return spec_; }
  const std::vector<std::string>& ways() const { return ways_; }
  const PeakBuffer& a() const { return a_; }
  const PeakBuffer& b() const { return b_; }
  const PeakBuffer& c() const { return c_; }

 private:
  // One primitive over the whole product, which oneDNN spreads over the threads itself.
  struct Whole {
    Prepared primitive;
    PeakBuffer scratch;
    std::optional<PeakBuffer> packed_b;
  };

  static MatmulSpec without_bias(MatmulSpec spec) {
    spec.bias = false;
    return spec;
  }

  // false if oneDNN has nothing but reference loops for this dtype, or packs b as it lies
  bool prepare(bool packed) {
    if (spec_.dtype == DType::f16 || spec_.batch * spec_.m * spec_.n * spec_.k == 0) return false;
    const auto type = data_type(spec_.dtype);
    const int64_t batch = spec_.batch, m = spec_.m, n = spec_.n, k = spec_.k;
    const auto matrix = [&](int64_t rows, int64_t columns, bool transposed) {
      return memory::desc(
          {batch, rows, columns}, type,
          transposed ? memory::dims{rows * columns, 1, rows} : memory::dims{rows * columns, columns, 1});
    };
    const memory::desc a = matrix(m, k, spec_.transpose_a), b = matrix(k, n, spec_.transpose_b),
                       c = matrix(m, n, false);
    const memory::desc any({batch, k, n}, type, memory::format_tag::any);
    try {
#if DNNL_VERSION_MAJOR >= 3
      const dnnl::matmul::primitive_desc pd(cpu(), a, packed ? any : b, c, user_scratchpad());
#else
      const dnnl::matmul::primitive_desc pd(dnnl::matmul::desc(a, packed ? any : b, c), user_scratchpad(), cpu());
#endif
      if (std::string_view(pd.impl_info_str()).starts_with("ref") || (packed && pd.weights_desc() == b)) return false;
      std::optional<PeakBuffer> packed_b;
      if (packed) packed_b = pack(b, pd.weights_desc());
      std::vector<Arg> args{{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, pd.weights_desc()}, {DNNL_ARG_DST, c}};
      Prepared primitive(pd, dnnl::matmul(pd), std::move(args), 1);
      PeakBuffer scratch(primitive.scratch_bytes());
      whole_.push_back({std::move(primitive), std::move(scratch), std::move(packed_b)});
      return true;
    } catch (const dnnl::error& error) {
      if (error.status == dnnl_unimplemented) return false;
      throw;
    }
  }

  PeakBuffer pack(const memory::desc& plain, const memory::desc& packed) {
    PeakBuffer to(static_cast<int64_t>(packed.get_size()));
    memory from_memory(plain, cpu(), b_.data()), to_memory(packed, cpu(), to.data());
    dnnl::stream stream(cpu());
    dnnl::reorder(from_memory, to_memory).execute(stream, from_memory, to_memory);
    stream.wait();
    return to;
  }

  MatmulSpec spec_;
  int threads_;
  Matmul ours_;
  PeakBuffer a_, b_, c_, scratch_;
  std::vector<std::string> ways_;
  std::vector<Whole> whole_;
};

GemmAlone::GemmAlone(const MatmulSpec& spec, int threads) : impl_(std::make_unique<Impl>(spec, threads)) {}
GemmAlone::~GemmAlone() = default;
const std::vector<std::string>& GemmAlone::ways() const { return impl_->ways(); }
void GemmAlone::run(size_t way) { impl_->run(way); }
const PeakBuffer& GemmAlone::a() const { return impl_->a(); }
const PeakBuffer& GemmAlone::b() const { return impl_->b(); }

// Ours first: oneDNN's whole primitive takes ten times as long on some shapes, and is then run once.
GemmAlone::Best GemmAlone::best() {
  Best best{std::numeric_limits<double>::infinity(), 0};
  for (size_t way = ways().size(); way-- > 0;) {
    const double seconds = best_seconds([&] { run(way); }, {.to_beat = best.seconds});
    if (seconds < best.seconds) best = {seconds, way};
  }
  return best;
}

std::vector<float> GemmAlone::result() const {
  const MatmulSpec& s = impl_->spec();
  std::vector<float> c(static_cast<size_t>(s.batch * s.m * s.n));
  if (s.dtype == DType::f32)
    std::memcpy(c.data(), impl_->c().data(), c.size() * sizeof(float));
  else
    widen(impl_->c().data(), s.dtype, c.data(), static_cast<int64_t>(c.size()));
  return c;
}

GemmPeak gemm_peak(DType dtype, int threads) {
  GemmPeak peak;
  constexpr int64_t shapes[][3] = {{2048, 2048, 2048}, {1024, 4096, 1024}, {4096, 1024, 2048}};
  for (const auto& [m, n, k] : shapes) {
    GemmAlone gemm({.m = m, .n = n, .k = k, .dtype = dtype}, threads);
    const GemmAlone::Best best = gemm.best();
    const double rate = 2.0 * static_cast<double>(m * n * k) / best.seconds;
    if (rate > peak.flops_per_second) peak = {rate, m, n, k, gemm.ways()[best.way]};
  }
  return peak;
}

double triad_bytes_per_second(int threads) {
  constexpr int64_t n = int64_t{1} << 24;  // 64 MiB each
  const PeakBuffer buffers[] = {PeakBuffer(n * 4), PeakBuffer(n * 4), PeakBuffer(n * 4)};
  auto* const a = reinterpret_cast<float*>(buffers[0].data());
  auto* const b = reinterpret_cast<float*>(buffers[1].data());
  auto* const c = reinterpret_cast<float*>(buffers[2].data());
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < n; ++i) {
    a[i] = 0.0F;
    b[i] = 1.0F;
    c[i] = 2.0F;
  }
  const double seconds = best_seconds([&] {
#pragma omp parallel for simd num_threads(threads) schedule(static)
    for (int64_t i = 0; i < n; ++i) a[i] = b[i] + 3.0F * c[i];
  });
  CHECK(a[n - 1] == 7.0F, "the triad computed {}", a[n - 1]);
  return 3.0 * 4.0 * static_cast<double>(n) / seconds;
}

}  // namespace ringmaster::backend
