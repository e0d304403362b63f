#pragma once

#include "daemon/config.hpp"

namespace pgcast {

/// `pgcast serve`: runs the daemon until SIGTERM or SIGINT; gives the exit code (sysexits(3)).
int run_serve(const loaded_config& loaded);

}  // namespace pgcast
