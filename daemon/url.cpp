// The one place where the code of Boost.URL is compiled: the distribution's package of it would be
// one more library to install for a few functions.
#include <boost/url/src.hpp>
