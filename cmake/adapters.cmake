# Libraries whose CMake names differ between their versions, or that have none, under one name of ours. The build and the
# installed package include this after finding them, so that an installed target names no path of the machine that built it.
add_library(ringmaster::dnnl INTERFACE IMPORTED)
if(TARGET DNNL::dnnl)
  target_link_libraries(ringmaster::dnnl INTERFACE DNNL::dnnl)
else()
  target_link_libraries(ringmaster::dnnl INTERFACE dnnl)
endif()

# mpi.h must not bring the withdrawn C++ bindings: they need a library of their own.
add_library(ringmaster::mpi INTERFACE IMPORTED)
target_link_libraries(ringmaster::mpi INTERFACE MPI::MPI_C)
target_compile_definitions(ringmaster::mpi INTERFACE OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX)

find_path(XXHASH_INCLUDE xxhash.h)
find_library(XXHASH_LIBRARY xxhash)
mark_as_advanced(XXHASH_INCLUDE XXHASH_LIBRARY)
if(XXHASH_INCLUDE AND XXHASH_LIBRARY)
  add_library(ringmaster::xxhash INTERFACE IMPORTED)
  target_link_libraries(ringmaster::xxhash INTERFACE "${XXHASH_LIBRARY}")
  target_include_directories(ringmaster::xxhash INTERFACE "${XXHASH_INCLUDE}")
endif()
