// SPDX-License-Identifier: Apache-2.0
// mpi_peer: the MPI library's own collectives, to be measured beside ours. Blocking, on private buffers, of all ranks.
#pragma once
#include <string>

#include "comm/comm.h"

namespace ringmaster::comm {

// `in` and `out`: `elements` each; of reduce_scatter and all_gather the size of the job divides them, and `out` of the one and `in` of
// the other are a rank's share. f32 or i32. Throws Error (rank) as MPI fails; only in a job that MPI started.
void mpi_all_reduce(const void* in, void* out, int64_t elements, DType dtype);
void mpi_reduce_scatter(const void* in, void* out, int64_t elements, DType dtype);
void mpi_all_gather(const void* in, void* out, int64_t elements, DType dtype);
std::string mpi_version();  // of the library, its first line

}  // namespace ringmaster::comm
