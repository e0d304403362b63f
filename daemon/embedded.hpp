#pragma once

#include <span>
#include <string_view>

namespace pgcast {

/// One file of the source tree that is part of the binary.
struct embedded_file {
  std::string_view name;   ///< relative to its folder: "001_schema.sql", "app.js"
  std::string_view bytes;  ///< as in the source tree; lives as long as the program
};

/// deploy/sql/*.sql, sorted by name.
extern const std::span<const embedded_file> sql_files;

/// daemon/console/**, sorted by name.
extern const std::span<const embedded_file> console_files;

/// daemon/api/**, sorted by name.
extern const std::span<const embedded_file> api_files;

}  // namespace pgcast
