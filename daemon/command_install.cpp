#include "daemon/commands.hpp"
#include "daemon/schema_change.hpp"

#include <cstdio>

#include <sysexits.h>

namespace pgcast {

int run_install(const loaded_config& loaded, const install_options& options) {
  const auto steps = install_steps(options.tables);
  if (!steps) return report_failure(EX_USAGE, steps.error().detail);
  if (options.is_dry_run) {
    const auto text = render_steps(*steps);
    return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? EX_OK : EX_IOERR;
  }
  return apply_steps(loaded, *steps, "pgcast is installed in");
}

}  // namespace pgcast
