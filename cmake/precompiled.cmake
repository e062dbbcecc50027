# What most sources include of the standard library and of fmt is parsed once: a fifth of a cold build. It is no licence to leave an
# #include away: `.ci/lint` reads every source without it.
option(RINGMASTER_PRECOMPILE "parse the headers of the standard library once" ON)
set(nothing ${CMAKE_BINARY_DIR}/nothing.cpp)
file(CONFIGURE OUTPUT ${nothing} CONTENT "")

# ringmaster_precompiled(NAME HEADERS <h>... OPTIONS flag... LIBRARIES target...): for targets that are compiled with just these OPTIONS
function(ringmaster_precompiled name)
  cmake_parse_arguments(F "" "" "HEADERS;OPTIONS;LIBRARIES" ${ARGN})
  if(RINGMASTER_PRECOMPILE)
    add_library(${name} OBJECT ${nothing})
    target_link_libraries(${name} PRIVATE ${F_LIBRARIES})
    target_compile_options(${name} PRIVATE ${F_OPTIONS})
    target_precompile_headers(${name} PRIVATE ${F_HEADERS})
  endif()
endfunction()

# ringmaster_reads(TARGET NAME): its sources begin with the headers of NAME
function(ringmaster_reads target name)
  if(RINGMASTER_PRECOMPILE)
    target_precompile_headers(${target} REUSE_FROM ${name})
  endif()
endfunction()

set(headers <algorithm> <array> <atomic> <chrono> <cmath> <condition_variable> <cstdint> <cstring> <filesystem> <fstream>
    <functional> <limits> <map> <memory> <mutex> <numeric> <optional> <ranges> <set> <span> <sstream> <string> <string_view>
    <thread> <utility> <variant> <vector> <fmt/format.h> <nlohmann/json.hpp>)
# Most of a test's text runs once. AddressSanitizer need not optimise what holds no loops over data, nor look at alignment there; what
# UBSan finds in a test's own text is no fault of ours.
set(folders_without_loops)
set(plain_options -O0)
if(RINGMASTER_SANITIZE MATCHES address)
  list(APPEND plain_options -fno-sanitize=alignment)
endif()
set(plain_test_options ${plain_options})
if(RINGMASTER_SANITIZE)
  list(APPEND plain_test_options -fno-sanitize=undefined)
endif()
set(test_options $<IF:$<CONFIG:Release>,-O1,${plain_test_options}>)
if(RINGMASTER_SANITIZE MATCHES address)
  set(folders_without_loops checkpoint config ir models nn passes train)
  ringmaster_precompiled(rm_precompiled_plain HEADERS ${headers} OPTIONS ${plain_options} LIBRARIES fmt::fmt)
endif()
ringmaster_precompiled(rm_precompiled HEADERS ${headers} LIBRARIES fmt::fmt)
if(RINGMASTER_TESTS)
  ringmaster_precompiled(rm_precompiled_tests HEADERS ${headers} <gtest/gtest.h> OPTIONS -fPIE "${test_options}"
                         LIBRARIES fmt::fmt GTest::gtest)
endif()
