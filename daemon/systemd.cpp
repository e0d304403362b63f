#include "daemon/systemd.hpp"

#include <systemd/sd-daemon.h>

#include <algorithm>

namespace pgcast {
namespace {

/// A lost notification is the service manager's business: it has its own timeouts.
void notify(const std::string& state) { sd_notify(0, state.c_str()); }

}  // namespace

void notify_ready() { notify("READY=1"); }

void notify_status(const std::string& status) {
  std::string line = status;
  std::replace(line.begin(), line.end(), '\n', ' ');  // a line break would begin a new variable
  notify("STATUS=" + line);
}

void notify_stopping() { notify("STOPPING=1"); }

void notify_watchdog() { notify("WATCHDOG=1"); }

std::optional<std::chrono::microseconds> watchdog_interval() {
  std::uint64_t interval = 0;
  if (sd_watchdog_enabled(0, &interval) <= 0) return std::nullopt;
  return std::chrono::microseconds(interval);
}

}  // namespace pgcast
