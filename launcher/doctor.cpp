// SPDX-License-Identifier: Apache-2.0
// doctor: one check a line, each with what was found, what is expected and the cure. It creates nothing; the one thing that
// it starts is a job of two ranks that add a number, because only that shows that MPI works.
#include "backend/cpu/dnnl.h"
#include "core/file.h"
#include "core/isa.h"
#include "core/program.h"
#include "launcher/commands.h"
#include "launcher/job.h"
#include "launcher/mpirun.h"
#include "launcher/output.h"
#include "launcher/process.h"
#include "train/machine.h"
#include "train/terminal.h"
#include "train/train.h"

#include <mpi.h>
#include <nlohmann/json.hpp>

#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <thread>

namespace ringmaster::launcher {
namespace {

using train::bytes_text;
constexpr int64_t mib = 1 << 20;

struct Check {
  std::string name;
  enum Status { ok, warn, fail } status = ok;
  std::string found, expected, cure;
};
const char* name(Check::Status status) { return status == Check::ok ? "ok" : status == Check::warn ? "warn" : "fail"; }

Check processor() {
  const std::string isa = train::isa();
  return {.name = "processor",
          .status = isa.empty() ? Check::fail
                    : isa_cap() ? Check::warn
                                : Check::ok,
          .found = fmt::format("{} ({}{})", train::cpu_name(), isa.empty() ? "below avx2" : isa,
                               isa_cap() ? ", capped by RINGMASTER_MAX_CPU_ISA" : ""),
          .expected = "x86-64 with AVX2 and FMA",
          .cure = isa_cap()
                      ? "unset RINGMASTER_MAX_CPU_ISA"
                      : "run on a machine from 2013 or later; in a virtual machine, pass the host's processor through"};
}

Check cores() {
  const int allowed = train::allowed_cores();
  const auto all = static_cast<int>(std::thread::hardware_concurrency());
  const auto online = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  return {.name = "cores",
          .status = allowed < online ? Check::warn : Check::ok,
          .found = fmt::format("{} of {}", allowed, std::max(all, online)),
          .expected = "all of the machine's",
          .cure = "lift the affinity mask: taskset, numactl, or the job's --cpus-per-task"};
}

Check memory() {
  const train::MemoryLimit limit = train::memory_limit(1);
  return {.name = "memory",
          .status = limit.bytes > 0 && limit.bytes < 1024 * mib ? Check::warn : Check::ok,
          .found = limit.bytes > 0 ? fmt::format("{} ({})", bytes_text(limit.bytes), limit.source) : "no limit known",
          .expected = "1 GiB or more",
          .cure = fmt::format("`{} plan CONFIG` says what a run needs", program_name())};
}

Check address_space() {
  rlimit limit{};
  ::getrlimit(RLIMIT_AS, &limit);
  const bool unlimited = limit.rlim_cur == RLIM_INFINITY;
  return {.name = "address space",
          .status = unlimited ? Check::ok : Check::warn,
          .found = unlimited ? "unlimited" : bytes_text(static_cast<int64_t>(limit.rlim_cur)),
          .expected = "unlimited",
          .cure = "ulimit -v unlimited"};
}

Check locked_memory() {
  rlimit limit{};
  ::getrlimit(RLIMIT_MEMLOCK, &limit);
  const bool unlimited = limit.rlim_cur == RLIM_INFINITY;
  return {.name = "locked memory",
          .status = Check::ok,  // only fast networks between nodes want it
          .found = unlimited ? "unlimited" : bytes_text(static_cast<int64_t>(limit.rlim_cur)),
          .expected = "unlimited where nodes are joined by InfiniBand",
          .cure = "ulimit -l unlimited"};
}

// Free bytes of the file system behind a folder that must be writable.
Check folder(std::string check, const std::string& path, int64_t enough, std::string cure) {
  struct statvfs space {};
  const bool exists = ::statvfs(path.c_str(), &space) == 0;
  const bool writable = exists && ::access(path.c_str(), W_OK | X_OK) == 0;
  const auto free = exists ? static_cast<int64_t>(space.f_bavail * space.f_frsize) : 0;
  return {.name = std::move(check),
          .status = !writable       ? Check::fail
                    : free < enough ? Check::warn
                                    : Check::ok,
          .found = !exists     ? fmt::format("{} does not exist", path)
                   : !writable ? fmt::format("{} is not writable", path)
                               : fmt::format("{}, {} free", path, bytes_text(free)),
          .expected = fmt::format("writable, {} free", bytes_text(enough)),
          .cure = std::move(cure)};
}

// It need not exist yet: then the nearest folder above it must be writable.
Check cache() {
  const Path path = cache_folder();
  Path nearest = path;
  std::error_code error;
  while (!std::filesystem::exists(nearest, error) && nearest.has_relative_path()) nearest = nearest.parent_path();
  Check check = folder("cache", nearest.string(), 0, "set RINGMASTER_CACHE_DIR to a folder that you may write");
  if (check.status == Check::ok) check.found = path.string();
  if (check.status == Check::fail) check.status = Check::warn;  // it only costs time
  return check;
}

Check boost() {
  bool found = false;
  for (const char* folder : {"/usr/include", "/usr/local/include"})
    found = found || ::access(fmt::format("{}/boost/version.hpp", folder).c_str(), R_OK) == 0;
  return {.name = "quickstart text",
          .status = found ? Check::ok : Check::warn,
          .found = found ? "Boost headers" : "no Boost headers",
          .expected = "the text that launcher/quickstart trains on",
          .cure = "apt-get install libboost-dev, or launcher/quickstart --text FILE"};
}

Check mpi() {
  Check check{.name = "mpirun",
              .status = Check::fail,
              .found = "",
              .expected = "two ranks that add a number",
              .cure = "try `mpirun -n 2 hostname`; its words above say what is wrong"};
  const auto began = std::chrono::steady_clock::now();
  try {
    auto line = launch_line(2, {"doctor", fmt::format("--launcher-pid={}", ::getpid())});
    line.insert(line.begin() + 1, {"--timeout", "60"});
    const Captured job = capture(line);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    if (job.status == 0 && job.out.find("sum 3\n") != std::string::npos) {
      check.status = Check::ok;
      check.found = fmt::format("{}, two ranks in {:.1f} s", line[0], seconds);
      return check;
    }
    std::string said = job.out + job.err;
    for (char& c : said) c = c == '\n' || c == '\r' ? ' ' : c;
    check.found = fmt::format("exit code {}: {}", job.status, said.substr(0, 400));
  } catch (const Error& e) {
    check.found = e.info().message;
    check.cure = e.info().cure;
  }
  return check;
}

// A rank of that job.
int add_a_number() {
  die_with_parent();
  const auto comm = comm::make_mpi({.timeout_s = 30});
  std::array<int64_t, 1> number{comm->rank() + 1};
  comm::all_reduce(*comm, comm::vector_of("doctor", std::span<int64_t>(number)));
  if (comm->rank() == 0) print(fmt::format("sum {}\n", number[0]));
  comm->finalize();
  return 0;
}

std::string mpi_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);  // may be asked before MPI_Init
  const std::string_view all(text.data(), static_cast<size_t>(length));
  return std::string(all.substr(0, all.find(',')));
}

std::string as_text(const std::vector<Check>& checks) {
  const bool unicode = train::utf8_locale();
  const std::array<const char*, 3> marks = unicode ? std::array{"✓", "!", "✗"} : std::array{"+", "!", "x"};
  std::string out;
  for (const Check& check : checks) {
    out += fmt::format("{} {:<16} {}\n", marks[check.status], check.name, check.found);
    if (check.status != Check::ok)
      out += fmt::format("  {:<16} expected {}\n  {:<16} {}\n", "", check.expected, "", check.cure);
  }
  return out;
}

}  // namespace

int doctor(const Arguments& arguments) {
  if (comm::launched_by_mpi() && arguments.has("--launcher-pid")) return add_a_number();
  const char* temporary = std::getenv("TMPDIR");
  const std::vector<Check> checks{
      processor(),
      cores(),
      memory(),
      address_space(),
      locked_memory(),
      folder("shared memory", "/dev/shm", 64 * mib, "give the container more: docker run --shm-size=1g"),
      folder("temporary files", temporary != nullptr && *temporary != '\0' ? temporary : "/tmp", 16 * mib,
             "set TMPDIR to a folder that you may write: MPI keeps its sockets there"),
      cache(),
      mpi(),
      boost()};
  bool good = true;
  nlohmann::json rows = nlohmann::json::array();
  for (const Check& check : checks) {
    good = good && check.status != Check::fail;
    rows.push_back({{"name", check.name},
                    {"status", name(check.status)},
                    {"found", check.found},
                    {"expected", check.expected},
                    {"cure", check.status == Check::ok ? nlohmann::json() : nlohmann::json(check.cure)}});
  }
  const nlohmann::json versions{{"ringmaster", train::version()},
                                {"onednn", backend::dnnl_version()},
                                {"mpi", mpi_version()},
                                {"compiler", __VERSION__}};
  if (arguments.has("--json")) {
    print_json(nlohmann::json{{"schema", "ringmaster.doctor/1"},
                              {"ok", good},
                              {"checks", std::move(rows)},
                              {"cpu", train::cpu_name()},
                              {"isa", train::isa()},
                              {"versions", versions}});
  } else {
    print(as_text(checks) +
          fmt::format("\nringmaster {}, oneDNN {}, {}\n", train::version(), backend::dnnl_version(), mpi_version()));
  }
  return good ? 0 : 3;
}

}  // namespace ringmaster::launcher
