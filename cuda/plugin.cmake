option(QUANTO_CUDA "Build the CUDA plugin with nvcc" OFF)
set(QUANTO_CUDA_ARCHITECTURES 75-real 80-real 86-real 89-real 90-real 100-real 120 CACHE STRING "GPU architectures of the plugin")
set(QUANTO_CUBLASLT_INCLUDE "" CACHE PATH "Folder of cublasLt.h; without it the plugin is compiled and linked, but is no use")

# The emulator. One small file each, because a source has one language in all targets.
set(emulated_sources "")
foreach(source ${cuda_sources})
  get_filename_component(name ${source} NAME_WE)
  set(emulated ${CMAKE_BINARY_DIR}/cuda_emu/${name}.cpp)
  file(CONFIGURE OUTPUT ${emulated} CONTENT "#include \"${source}\"\n")
  list(APPEND emulated_sources ${emulated})
endforeach()
file(GLOB emulator_sources CONFIGURE_DEPENDS cuda/emulator/*.cpp)
add_library(cuda_emulated OBJECT EXCLUDE_FROM_ALL ${emulated_sources} ${emulator_sources})
add_library(quanto_cuda_emu MODULE EXCLUDE_FROM_ALL $<TARGET_OBJECTS:cuda_emulated>)
set_target_properties(quanto_cuda_emu PROPERTIES PREFIX "" SUFFIX ".so" LIBRARY_OUTPUT_DIRECTORY ${output}/test)
# Kernels round where they say so; integer elements wrap around.
target_compile_options(cuda_emulated PRIVATE -fwrapv)
target_link_libraries(quanto_cuda_emu PRIVATE Threads::Threads)
if(QUANTO_SANITIZE MATCHES thread)
  # What runs the fibers is no part of what they do.
  set_property(SOURCE cuda/emulator/emulator.cpp cuda/emulator/fiber.cpp APPEND PROPERTY COMPILE_DEFINITIONS __SANITIZE_THREAD__)
  set_property(SOURCE cuda/emulator/emulator.cpp cuda/emulator/fiber.cpp APPEND PROPERTY COMPILE_OPTIONS -fno-sanitize=thread)
endif()

if(QUANTO_CUDA)
  set(CMAKE_CUDA_ARCHITECTURES ${QUANTO_CUDA_ARCHITECTURES})
  set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
  enable_language(CUDA)
  # A CMake that cannot tell nvcc's version does not know this option of it.
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA_STANDARD 20)
  add_library(quanto_cuda MODULE ${cuda_sources})
  set_target_properties(quanto_cuda PROPERTIES PREFIX lib SUFFIX ".so" LIBRARY_OUTPUT_DIRECTORY ${output} CUDA_VISIBILITY_PRESET hidden
                                               LINKER_LANGUAGE CXX)
  if(QUANTO_CUBLASLT_INCLUDE)
    target_include_directories(quanto_cuda SYSTEM PRIVATE ${QUANTO_CUBLASLT_INCLUDE})
  else()
    target_compile_definitions(quanto_cuda PRIVATE QUANTO_CUDA_CHECK)
    set_target_properties(quanto_cuda PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
  endif()
  # nvcc knows no -W and -f options of the host compiler, which the directory has.
  set_target_properties(quanto_cuda PROPERTIES COMPILE_OPTIONS "")
  # Smaller by far where it is installed; every driver that serves CUDA 13 unpacks it.
  target_compile_options(quanto_cuda PRIVATE -compress-mode=size --extended-lambda --expt-relaxed-constexpr -fmad=false -Xcompiler=-Wall,-Wextra,-ffp-contract=off)
endif()
