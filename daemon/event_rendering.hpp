#pragma once

#include <string>
#include <string_view>

namespace pgcast {

enum class color_use { plain, colored };

/// One line for people: what happened, in few words. `line` is a line of `pgcast tail` (an object
/// with "event" and "payload"), `time` what stands in front. Text of the database cannot move the
/// cursor or change colours: control characters are shown as dots.
std::string render_event(std::string_view line, std::string_view time, color_use colors);

}  // namespace pgcast
