#include "daemon/commands.hpp"
#include "daemon/schema_change.hpp"

#include <cstdio>

#include <sysexits.h>

namespace pgcast {

int run_uninstall(const loaded_config& loaded, const uninstall_options& options) {
  const auto steps = uninstall_steps();
  if (options.is_dry_run) {
    const auto text = render_steps(steps);
    return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? EX_OK : EX_IOERR;
  }
  return apply_steps(loaded, steps, "pgcast is removed from");
}

}  // namespace pgcast
