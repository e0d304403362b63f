// The one place where the code of Asio and Beast is compiled; everybody else sees declarations
// (BOOST_ASIO_SEPARATE_COMPILATION, BOOST_BEAST_SEPARATE_COMPILATION). The OpenSSL half of Asio is
// left out: TLS ends in a proxy.
#include <boost/asio/impl/src.hpp>
#include <boost/beast/src.hpp>
