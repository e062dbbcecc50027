# How every file of the project is compiled.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O3 -g1")  # asserts stay: internal CHECKs are part of the product

add_compile_options(
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Werror
  -march=x86-64-v3        # AVX2 + FMA is the floor; wider kernels are chosen at run time
  -ffp-contract=off       # bits: FMA only where a kernel writes it
  -fno-omit-frame-pointer
  -fopenmp                # everywhere, so that all can read the same precompiled headers
  -Wno-missing-field-initializers  # designated initialisers name what differs from the defaults
  -Wno-stringop-overflow -Wno-array-bounds -Wno-maybe-uninitialized -Wno-restrict)  # g++ 12 false positives inside inlined fmt and libstdc++

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_DEPEND=true CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
  add_compile_options(-fpch-preprocess)  # as it wants of g++ where headers are precompiled
endif()

if(RINGMASTER_SANITIZE)
  add_compile_options(-fsanitize=${RINGMASTER_SANITIZE} -fno-sanitize-recover=all)
  if(RINGMASTER_SANITIZE MATCHES address)  # two thirds of the build: checks are calls, and what the hardware traps is no check
    add_compile_options(--param=asan-instrumentation-with-call-threshold=0 -fno-sanitize=null,object-size,pointer-overflow,vptr)
  endif()
  add_link_options(-fsanitize=${RINGMASTER_SANITIZE})
endif()
