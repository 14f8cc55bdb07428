#include "nccl.h"

#include "runtime.hpp"

#include <mpi.h>

#include <fmt/format.h>

#include <cstdio>
#include <cstring>
#include <vector>

namespace em = tern::emulator;

struct ncclComm {
  MPI_Comm ranks = MPI_COMM_NULL;
  int rank = 0, size = 0, device = 0;
  bool used = false;
  cudaStream_t stream = nullptr;  ///< of all its calls
};

namespace {

struct Call {
  bool sends;
  void* data;
  std::size_t count;
  ncclDataType_t type;
  int peer;
  ncclComm_t comm;
  cudaStream_t stream;
};

int groups = 0;  ///< open
std::vector<Call> calls;

ncclResult_t refuse(ncclResult_t code, const std::string& why) {
  std::fprintf(stderr, "emulated NCCL: %s\n", why.c_str());
  return code;
}

/// What one rank tells the other of a message before it.
struct Notice {
  std::size_t count;
  int type;
};

/// The messages of a group: first what they are, and then, where both sides agree, they themselves.
em::Status exchange(const std::vector<Call>& group) {
  const em::DeviceMemory& memory = em::DeviceMemory::get();
  std::vector<Notice> mine, theirs(group.size());
  std::vector<MPI_Request> requests;
  for (const Call& call : group) {
    const char* verb = call.sends ? "ncclSend" : "ncclRecv";
    if (!memory.is_allocated(call.data, call.count)) {
      return {cudaErrorIllegalAddress,
              fmt::format("{}: {} bytes {}", verb, call.count, memory.describe(call.data, call.count))};
    }
    if (call.sends && !memory.is_initialised(call.data, call.count)) {
      return {cudaErrorIllegalAddress, fmt::format("ncclSend: {} bytes that nothing has written", call.count)};
    }
    mine.push_back({call.count, call.type});
  }
  const auto start = [&requests](const Call& call, void* data, std::size_t bytes, int tag) {
    requests.push_back(MPI_REQUEST_NULL);
    if (call.sends) {
      MPI_Isend(data, static_cast<int>(bytes), MPI_BYTE, call.peer, tag, call.comm->ranks, &requests.back());
    } else {
      MPI_Irecv(data, static_cast<int>(bytes), MPI_BYTE, call.peer, tag, call.comm->ranks, &requests.back());
    }
  };
  const auto wait = [&requests] {
    MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE);
    requests.clear();
  };
  for (std::size_t i = 0; i < group.size(); ++i)
    start(group[i], group[i].sends ? &mine[i] : &theirs[i], sizeof(Notice), 0);
  wait();
  for (std::size_t i = 0; i < group.size(); ++i) {
    if (group[i].sends || (theirs[i].count == mine[i].count && theirs[i].type == mine[i].type)) continue;
    return {cudaErrorInvalidValue,
            fmt::format("ncclRecv: {} elements of type {} from rank {}, which sends {} of type {}", mine[i].count,
                        mine[i].type, group[i].peer, theirs[i].count, theirs[i].type)};
  }
  for (const Call& call : group) start(call, memory.mapped(call.data), call.count, 1);
  wait();
  for (const Call& call : group) {
    if (!call.sends) em::DeviceMemory::get().mark(call.data, call.count, em::ByteState::initialised);
  }
  return {};
}

ncclResult_t add(bool sends, void* data, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                 cudaStream_t stream) {
  const char* verb = sends ? "ncclSend" : "ncclRecv";
  if (comm == nullptr) return refuse(ncclInvalidArgument, fmt::format("{}: no communicator", verb));
  if (peer < 0 || peer >= comm->size)
    return refuse(ncclInvalidArgument, fmt::format("{}: rank {} of {}", verb, peer, comm->size));
  if (type != ncclUint8 && type != ncclInt8)
    return refuse(ncclInvalidArgument, fmt::format("{}: type {}", verb, static_cast<int>(type)));
  int device = -1;
  if (cudaGetDevice(&device) != cudaSuccess || device != comm->device)
    return refuse(ncclInvalidUsage,
                  fmt::format("{}: on device {}, the communicator's is {}", verb, device, comm->device));
  if (comm->used && comm->stream != stream)
    return refuse(ncclInvalidUsage, fmt::format("{}: on another stream than the calls before it", verb));
  if (groups == 0)  // it would wait for its other half
    return refuse(ncclInvalidUsage, fmt::format("{}: outside of a group", verb));
  comm->used = true;
  comm->stream = stream;
  calls.push_back({sends, data, count, type, peer, comm, stream});
  return ncclSuccess;
}

}  // namespace

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "unhandled cuda error";
    case ncclSystemError:
      return "unhandled system error";
    case ncclInternalError:
      return "internal error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
  }
  return "unknown result code";
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static unsigned count = 0;
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  *id = {};
  std::snprintf(id->internal, sizeof id->internal, "emulated NCCL, communicator %u of rank %d", ++count, rank);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank) {
  if (groups > 0) return refuse(ncclInvalidUsage, "ncclCommInitRank: in a group");
  auto* made = new ncclComm;
  MPI_Comm_dup(MPI_COMM_WORLD, &made->ranks);
  MPI_Comm_rank(made->ranks, &made->rank);
  MPI_Comm_size(made->ranks, &made->size);
  std::vector<ncclUniqueId> ids(static_cast<std::size_t>(made->size));
  MPI_Allgather(&id, sizeof id, MPI_BYTE, ids.data(), sizeof id, MPI_BYTE, made->ranks);
  bool same = id.internal[0] != '\0' && made->size == ranks && made->rank == rank;
  for (const ncclUniqueId& other : ids) same = same && std::memcmp(&other, &id, sizeof id) == 0;
  if (!same || cudaGetDevice(&made->device) != cudaSuccess) {
    delete made;
    return refuse(ncclInvalidArgument,
                  fmt::format("ncclCommInitRank: rank {} of {} with another id or number", rank, ranks));
  }
  *comm = made;
  return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  MPI_Comm_free(&comm->ranks);
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclGroupStart() {
  ++groups;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  if (groups == 0) return refuse(ncclInvalidUsage, "ncclGroupEnd: without ncclGroupStart");
  if (--groups > 0 || calls.empty()) return ncclSuccess;
  const std::vector<Call> group = std::exchange(calls, {});
  em::Runtime& runtime = em::Runtime::get();
  const std::scoped_lock lock(runtime.mutex);
  const em::Status status = runtime.submit(group[0].stream, [group] { return exchange(group); });
  return status.code == cudaSuccess ? ncclSuccess : refuse(ncclUnhandledCudaError, status.detail);
}

ncclResult_t ncclSend(const void* data, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return add(true, const_cast<void*>(data), count, type, peer, comm, stream);
}

ncclResult_t ncclRecv(void* data, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return add(false, data, count, type, peer, comm, stream);
}
