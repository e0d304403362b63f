#include "protocol/seam.hpp"

namespace pgcast {

seam::verdict seam::judge(const event& e, const batch_span& span) {
  if (!read_up_to_) return verdict::deliver;
  if (span.start.incarnation > read_up_to_->incarnation) {
    read_up_to_ = read_up_to_->in(*span.history);
  }
  if (span.start.s1->covers(*read_up_to_->s1)) {
    read_up_to_.reset();
    return verdict::deliver;
  }
  return read_up_to_->s1->sees(e.xid) ? verdict::drop : verdict::deliver_with_own_cursor;
}

position seam::own_cursor(const event& e, const batch_span& span) const {
  position p = span.at(e.id);
  if (read_up_to_) p.s1 = read_up_to_->s1;
  return p;
}

}  // namespace pgcast
