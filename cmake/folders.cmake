# One static library a folder of src/, one test executable a folder of tests/. Files are found by name, so that adding an
# op, a pass or a collective is adding a file.

# ringmaster_folder(NAME [USES folder...] [LIBRARIES target...]): target rm_NAME from src/NAME/**.cpp
function(ringmaster_folder name)
  cmake_parse_arguments(F "" "" "USES;LIBRARIES" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cpp)
  list(TRANSFORM F_USES PREPEND rm_)
  set(include $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/src>)
  if(sources)
    add_library(rm_${name} STATIC ${sources})
    target_include_directories(rm_${name} PUBLIC ${include})
    target_link_libraries(rm_${name} PUBLIC ${F_USES} ${F_LIBRARIES})
  else()
    add_library(rm_${name} INTERFACE)
    target_include_directories(rm_${name} INTERFACE ${include})
    target_link_libraries(rm_${name} INTERFACE ${F_USES} ${F_LIBRARIES})
  endif()
  ringmaster_installed_library(rm_${name} ${name})
endfunction()

# ringmaster_tests(NAME [USES folder...] [LIBRARIES target...]): executable NAME_test from tests/NAME/*_test.cpp
function(ringmaster_tests name)
  cmake_parse_arguments(F "" "" "USES;LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${name}/*_test.cpp)
  if(NOT sources)
    return()
  endif()
  list(TRANSFORM F_USES PREPEND rm_)
  add_executable(${name}_test ${sources})
  target_include_directories(${name}_test PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name}_test PRIVATE ${F_USES} ${F_LIBRARIES} GTest::gtest GTest::gtest_main)
endfunction()
