// SPDX-License-Identifier: Apache-2.0
#include "comm/mpi_peer.h"

#include <mpi.h>

#include <climits>

namespace ringmaster::comm {
namespace {

MPI_Datatype type_of(DType dtype) {
  CHECK(dtype == DType::f32 || dtype == DType::i32, "{} is not compared with MPI's", name(dtype));
  return dtype == DType::f32 ? MPI_FLOAT : MPI_INT32_T;
}

int count_of(int64_t elements) {
  CHECK(elements <= INT_MAX, "{} elements in one call of MPI", elements);
  return static_cast<int>(elements);
}

int share_of(int64_t elements) {
  int size = 1;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  CHECK(elements % size == 0, "{} elements for {} ranks", elements, size);
  return count_of(elements / size);
}

void require(int code, const char* what) {
  if (code == MPI_SUCCESS) return;
  throw Error({.kind = ErrorKind::rank, .message = fmt::format("{} failed with code {}", what, code)});
}

}  // namespace

void mpi_all_reduce(const void* in, void* out, int64_t elements, DType dtype) {
  require(MPI_Allreduce(in, out, count_of(elements), type_of(dtype), MPI_SUM, MPI_COMM_WORLD), "MPI_Allreduce");
}

void mpi_reduce_scatter(const void* in, void* out, int64_t elements, DType dtype) {
  require(MPI_Reduce_scatter_block(in, out, share_of(elements), type_of(dtype), MPI_SUM, MPI_COMM_WORLD),
          "MPI_Reduce_scatter_block");
}

void mpi_all_gather(const void* in, void* out, int64_t elements, DType dtype) {
  const int share = share_of(elements);
  require(MPI_Allgather(in, share, type_of(dtype), out, share, type_of(dtype), MPI_COMM_WORLD), "MPI_Allgather");
}

std::string mpi_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = {};
  int length = 0;
  MPI_Get_library_version(text, &length);
  const std::string_view all(text, static_cast<size_t>(length));
  return std::string(all.substr(0, all.find_first_of(",\n")));
}

}  // namespace ringmaster::comm
