# How everything of this project is compiled: pgcast_options carries it.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")

find_program(PGCAST_CCACHE ccache)
if(PGCAST_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${PGCAST_CCACHE})
endif()

add_library(pgcast_options INTERFACE)
target_compile_options(pgcast_options INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -fdiagnostics-color=auto)

if(PGCAST_SANITIZE)
  target_compile_options(pgcast_options INTERFACE
    -fsanitize=${PGCAST_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(pgcast_options INTERFACE -fsanitize=${PGCAST_SANITIZE})
else()
  target_compile_options(pgcast_options INTERFACE
    -fstack-protector-strong -fstack-clash-protection)
  target_compile_definitions(pgcast_options INTERFACE
    _GLIBCXX_ASSERTIONS $<$<CONFIG:Release>:_FORTIFY_SOURCE=2>)
  target_link_options(pgcast_options INTERFACE
    -pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|amd64")
    target_compile_options(pgcast_options INTERFACE -fcf-protection)
  endif()
endif()
