package model_test

import (
	"testing"

	"twofold/raftlog/model"
)

// plantedTable are the bugs of the table of touched keys and of a read of two keys.
var plantedTable = map[string]model.Bug{
	"TableAfterStore":      model.BugTableAfterStore,
	"TableBeforeApply":     model.BugTableBeforeApply,
	"TableNotRebuilt":      model.BugTableNotRebuilt,
	"TableMissesKey":       model.BugTableMissesKey,
	"ChildNotRechecked":    model.BugChildNotRechecked,
	"ChildFromOldSnapshot": model.BugChildFromOldSnapshot,
	"ChildFromTwo":         model.BugChildFromTwo,
}

func TestTable_Finds(t *testing.T) {
	for name, bug := range plantedTable {
		t.Run(name, func(t *testing.T) {
			mustFind(t, func(limit int) model.Result { return model.SearchTable(bug, 3, 1, limit) })
		})
	}
}

func TestTable_Holds(t *testing.T) {
	mustHold(t, func(limit int) model.Result { return model.SearchTable(model.None, 3, 1, limit) })
	if *wide {
		mustHold(t, func(limit int) model.Result { return model.SearchTable(model.None, 4, 2, limit) })
	}
}
