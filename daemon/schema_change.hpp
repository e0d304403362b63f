#pragma once

#include "daemon/config.hpp"
#include "protocol/error.hpp"

#include <string>
#include <vector>

namespace pgcast {

/// One step of an installation.
struct sql_step {
  std::string name;  ///< for the progress lines
  std::string sql;
};

/// The embedded scripts in name order, then one step for each table ("schema.table"). Fails with
/// payload_malformed for a table without a schema.
result<std::vector<sql_step>> install_steps(const std::vector<std::string>& tables);

std::vector<sql_step> uninstall_steps();

/// The steps as one transaction that psql understands.
std::string render_steps(const std::vector<sql_step>& steps);

/// Runs the steps in one transaction and shows progress and notices. Where somebody else's long
/// transaction is in the way it tries again for half a minute. Gives the exit code of the process;
/// every failure is one sentence on the standard error, and nothing has changed then.
int apply_steps(const loaded_config& loaded, const std::vector<sql_step>& steps,
                const std::string& done);

}  // namespace pgcast
