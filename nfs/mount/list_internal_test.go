package mount

import (
	"fmt"
	"testing"
)

func TestMountList_IsBounded(t *testing.T) {
	var l mountList
	for i := range MaxMounts + 5 {
		l.add("host", fmt.Sprintf("/%d", i))
	}
	all := l.all()
	if len(all) != MaxMounts || all[0].path != "/5" || all[MaxMounts-1].path != fmt.Sprintf("/%d", MaxMounts+4) {
		t.Errorf("%d entries, from %v", len(all), all[0])
	}
}
