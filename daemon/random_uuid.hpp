#pragma once

#include <string>

namespace pgcast {

/// A UUID (version 4) that nobody else has.
std::string random_uuid();

}  // namespace pgcast
