#include "protocol/seam.hpp"

namespace pgcast {

seam::verdict seam::judge(const event& e, const batch_span& span) {
  if (!read_up_to_) return verdict::deliver;
  if (span.start.incarnation < read_up_to_->incarnation) return verdict::drop;
  if (span.start.incarnation > read_up_to_->incarnation) {
    read_up_to_ = read_up_to_->in(*span.history);
  }
  if (span.start.s1->covers(*read_up_to_->s1)) {
    read_up_to_.reset();
    return verdict::deliver;
  }
  return read_up_to_->s1->sees(e.xid) ? verdict::drop : verdict::deliver_with_own_cursor;
}

position seam::not_before(position p) const {
  if (!read_up_to_ || p.incarnation > read_up_to_->incarnation) return p;
  const auto& seen = read_up_to_->s1;
  if (p.incarnation < read_up_to_->incarnation || seen->covers(*p.s2)) return *read_up_to_;
  if (!p.s1->covers(*seen)) p.s1 = seen;
  return p;
}

}  // namespace pgcast
