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

position seam::not_before(position p, const source_history& known) const {
  if (!read_up_to_) return p;
  auto seen = read_up_to_->in(known);
  p = p.in(known);
  if (p.incarnation < seen.incarnation || seen.s1->covers(*p.s2)) return seen;
  if (!p.s1->covers(*seen.s1)) p.s1 = seen.s1;
  return p;
}

}  // namespace pgcast
