package pace

import "golang.org/x/time/rate"

// Due reports that s lets something happen now, and counts it as having happened.
func Due(s *rate.Sometimes) (due bool) {
	s.Do(func() { due = true })
	return due
}
