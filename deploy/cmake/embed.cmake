# Turns files into one C++ source that defines `const std::span<const embedded_file> pgcast::<NAME>`
# (daemon/embedded.hpp), in the order given.
#
#   cmake -D OUTPUT=x.cpp -D NAME=console_files -D "FILES=a;b" [-D BASE=dir] -P embed.cmake
#
# An entry is named by its path relative to BASE, or by its file name without BASE.

set(arrays "")
set(entries "")
set(number 0)
foreach(file IN LISTS FILES)
  if(BASE)
    file(RELATIVE_PATH name "${BASE}" "${file}")
  else()
    get_filename_component(name "${file}" NAME)
  endif()
  file(READ "${file}" hex HEX)
  string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${hex}")
  # A closing zero keeps the array of an empty file legal; it is not part of the bytes.
  string(APPEND arrays "const char file_${number}[] = {${bytes}0};\n")
  string(APPEND entries
    "    {\"${name}\", {file_${number}, sizeof(file_${number}) - 1}},\n")
  math(EXPR number "${number} + 1")
endforeach()

set(text "// Made by deploy/cmake/embed.cmake.\n#include \"daemon/embedded.hpp\"\n\n#include <array>\n\n")
string(APPEND text "namespace pgcast {\nnamespace {\n${arrays}")
string(APPEND text "const std::array<embedded_file, ${number}> files{{\n${entries}}};\n}  // namespace\n\n")
string(APPEND text "const std::span<const embedded_file> ${NAME}{files};\n\n}  // namespace pgcast\n")
file(WRITE "${OUTPUT}" "${text}")
