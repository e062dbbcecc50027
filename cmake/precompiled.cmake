# What most sources include of the standard library and of fmt is parsed once: a third of a cold build. It is no licence to leave an
# #include away: `.ci/lint` reads every source without it.
option(RINGMASTER_PRECOMPILE "parse the headers of the standard library once" ON)
set(nothing ${CMAKE_BINARY_DIR}/nothing.cpp)
file(CONFIGURE OUTPUT ${nothing} CONTENT "")

# ringmaster_precompiled(TARGET OTHERS...): the sources of TARGET, whose compile options are those of this
function(ringmaster_precompiled name)
  cmake_parse_arguments(F "" "" "HEADERS;OPTIONS;LIBRARIES" ${ARGN})
  if(NOT RINGMASTER_PRECOMPILE)
    return()
  endif()
  add_library(${name} OBJECT ${nothing})
  target_link_libraries(${name} PRIVATE ${F_LIBRARIES})
  target_compile_options(${name} PRIVATE ${F_OPTIONS})
  target_precompile_headers(${name} PRIVATE ${F_HEADERS})
endfunction()

set(precompiled <algorithm> <array> <atomic> <chrono> <cmath> <condition_variable> <cstdint> <cstring> <filesystem> <fstream>
    <functional> <limits> <map> <memory> <mutex> <numeric> <optional> <ranges> <set> <span> <sstream> <string> <string_view>
    <thread> <utility> <variant> <vector> <fmt/format.h> <nlohmann/json.hpp>)
set(test_options $<IF:$<CONFIG:Release>,-O1,-O0>)  # most of a test's text runs once
ringmaster_precompiled(rm_precompiled HEADERS ${precompiled} LIBRARIES fmt::fmt)
ringmaster_precompiled(rm_precompiled_tests HEADERS ${precompiled} <gtest/gtest.h> OPTIONS -fPIE ${test_options}
                       LIBRARIES fmt::fmt GTest::gtest)
