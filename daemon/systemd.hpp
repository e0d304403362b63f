#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace pgcast {

// What the daemon tells its service manager (sd_notify(3)). Without NOTIFY_SOCKET all of it does
// nothing. Thread-safe.

/// Clients are served from now on.
void notify_ready();

/// One line for `systemctl status`.
void notify_status(const std::string& status);

/// The drain has begun.
void notify_stopping();

/// Still alive; due twice in every watchdog_interval().
void notify_watchdog();

/// WatchdogSec= of the unit; nothing when the service manager does not watch this process.
std::optional<std::chrono::microseconds> watchdog_interval();

}  // namespace pgcast
