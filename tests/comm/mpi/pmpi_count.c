// SPDX-License-Identifier: Apache-2.0
// pmpi_count: counts what a rank really gives to MPI, from outside the program: LD_PRELOAD this library, set PMPI_COUNT_FILE, and
// MPI_Finalize writes $PMPI_COUNT_FILE.<rank>:
//   {"rank":0,"messages":{"bytes":0,"count":0},"headers":{...},"payload":{...},"other_calls":0}
// The three classes are the tag ranges of src/comm/comm.h; other_calls counts every MPI call that could move data unseen.
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

struct Count {
  long long bytes, count;
};
static struct Count messages, headers, payload;
static long long other_calls;

static void count(int elements, MPI_Datatype type, int tag) {
  int size = 0;
  PMPI_Type_size(type, &size);
  struct Count* class = tag >= 16384 ? &payload : tag >= 8192 ? &headers : &messages;
  class->bytes += (long long)elements * size;
  class->count += 1;
}

int MPI_Isend(const void* data, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request* request) {
  count(n, type, tag);
  return PMPI_Isend(data, n, type, to, tag, comm, request);
}
int MPI_Issend(const void* data, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request* request) {
  count(n, type, tag);
  return PMPI_Issend(data, n, type, to, tag, comm, request);
}
int MPI_Irsend(const void* data, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request* request) {
  count(n, type, tag);
  return PMPI_Irsend(data, n, type, to, tag, comm, request);
}
int MPI_Send(const void* data, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm) {
  count(n, type, tag);
  return PMPI_Send(data, n, type, to, tag, comm);
}
int MPI_Ssend(const void* data, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm) {
  count(n, type, tag);
  return PMPI_Ssend(data, n, type, to, tag, comm);
}
int MPI_Rsend(const void* data, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm) {
  count(n, type, tag);
  return PMPI_Rsend(data, n, type, to, tag, comm);
}
int MPI_Bsend(const void* data, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm) {
  count(n, type, tag);
  return PMPI_Bsend(data, n, type, to, tag, comm);
}

int MPI_Send_init(const void* data, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request* request) {
  other_calls += 1;
  return PMPI_Send_init(data, n, type, to, tag, comm, request);
}
int MPI_Sendrecv(const void* out, int n, MPI_Datatype type, int to, int tag, void* in, int in_n, MPI_Datatype in_type,
                 int from, int in_tag, MPI_Comm comm, MPI_Status* status) {
  other_calls += 1;
  return PMPI_Sendrecv(out, n, type, to, tag, in, in_n, in_type, from, in_tag, comm, status);
}
int MPI_Bcast(void* data, int n, MPI_Datatype type, int root, MPI_Comm comm) {
  other_calls += 1;
  return PMPI_Bcast(data, n, type, root, comm);
}
int MPI_Reduce(const void* in, void* out, int n, MPI_Datatype type, MPI_Op op, int root, MPI_Comm comm) {
  other_calls += 1;
  return PMPI_Reduce(in, out, n, type, op, root, comm);
}
int MPI_Allreduce(const void* in, void* out, int n, MPI_Datatype type, MPI_Op op, MPI_Comm comm) {
  other_calls += 1;
  return PMPI_Allreduce(in, out, n, type, op, comm);
}
int MPI_Iallreduce(const void* in, void* out, int n, MPI_Datatype type, MPI_Op op, MPI_Comm comm,
                   MPI_Request* request) {
  other_calls += 1;
  return PMPI_Iallreduce(in, out, n, type, op, comm, request);
}
int MPI_Reduce_scatter(const void* in, void* out, const int n[], MPI_Datatype type, MPI_Op op, MPI_Comm comm) {
  other_calls += 1;
  return PMPI_Reduce_scatter(in, out, n, type, op, comm);
}
int MPI_Reduce_scatter_block(const void* in, void* out, int n, MPI_Datatype type, MPI_Op op, MPI_Comm comm) {
  other_calls += 1;
  return PMPI_Reduce_scatter_block(in, out, n, type, op, comm);
}
int MPI_Allgather(const void* out, int n, MPI_Datatype type, void* in, int in_n, MPI_Datatype in_type, MPI_Comm comm) {
  other_calls += 1;
  return PMPI_Allgather(out, n, type, in, in_n, in_type, comm);
}
int MPI_Gather(const void* out, int n, MPI_Datatype type, void* in, int in_n, MPI_Datatype in_type, int root,
               MPI_Comm comm) {
  other_calls += 1;
  return PMPI_Gather(out, n, type, in, in_n, in_type, root, comm);
}
int MPI_Alltoall(const void* out, int n, MPI_Datatype type, void* in, int in_n, MPI_Datatype in_type, MPI_Comm comm) {
  other_calls += 1;
  return PMPI_Alltoall(out, n, type, in, in_n, in_type, comm);
}
int MPI_Put(const void* data, int n, MPI_Datatype type, int to, MPI_Aint at, int to_n, MPI_Datatype to_type,
            MPI_Win win) {
  other_calls += 1;
  return PMPI_Put(data, n, type, to, at, to_n, to_type, win);
}
int MPI_Get(void* data, int n, MPI_Datatype type, int from, MPI_Aint at, int from_n, MPI_Datatype from_type,
            MPI_Win win) {
  other_calls += 1;
  return PMPI_Get(data, n, type, from, at, from_n, from_type, win);
}

int MPI_Finalize(void) {
  int rank = 0;
  PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
  const char* prefix = getenv("PMPI_COUNT_FILE");
  if (prefix != NULL) {
    char path[4096];
    snprintf(path, sizeof path, "%s.%d", prefix, rank);
    FILE* file = fopen(path, "w");
    if (file != NULL) {
      fprintf(file,
              "{\"rank\":%d,\"messages\":{\"bytes\":%lld,\"count\":%lld},\"headers\":{\"bytes\":%lld,\"count\":%lld},"
              "\"payload\":{\"bytes\":%lld,\"count\":%lld},\"other_calls\":%lld}\n",
              rank, messages.bytes, messages.count, headers.bytes, headers.count, payload.bytes, payload.count,
              other_calls);
      fclose(file);
    }
  }
  return PMPI_Finalize();
}
