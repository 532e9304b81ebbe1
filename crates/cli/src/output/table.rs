//! Tables of text.

use crate::output::shown;

/// A table with columns of fixed widths. A cell that is wider than its column moves the rest of its
/// row to the right.
pub struct Table<const COLUMNS: usize> {
    columns: [Column; COLUMNS],
    text: String,
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    width: usize,
    is_right: bool,
    gap: usize,
    is_shown: bool,
}

impl Column {
    /// A column of texts, with so many characters.
    pub const fn left(width: usize) -> Self {
        Self {
            width,
            is_right: false,
            gap: 2,
            is_shown: true,
        }
    }

    /// A column of numbers, with so many characters.
    pub const fn right(width: usize) -> Self {
        Self {
            is_right: true,
            ..Self::left(width)
        }
    }

    /// The last column, as wide as its cells.
    pub const fn last() -> Self {
        Self::left(0)
    }

    /// Spaces between this column and the one before it; two otherwise.
    pub const fn after(self, gap: usize) -> Self {
        Self { gap, ..self }
    }

    /// Leaves the column out unless it `is_shown`.
    pub const fn shown(self, is_shown: bool) -> Self {
        Self { is_shown, ..self }
    }
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// An empty table.
    pub const fn new(columns: [Column; COLUMNS]) -> Self {
        Self {
            columns,
            text: String::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: [&str; COLUMNS]) {
        let mut line = String::new();
        for (at, (column, cell)) in self.columns.iter().zip(cells).enumerate() {
            if !column.is_shown {
                continue;
            }
            if at > 0 {
                line += &" ".repeat(column.gap);
            }
            let width = column.width;
            let cell = shown::line(cell);
            line += &if column.is_right {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            };
        }
        self.text += line.trim_end();
        self.text += "\n";
    }

    /// Characters before the last column.
    pub fn start_of_last(&self) -> usize {
        let shown = self.columns.iter().enumerate();
        let shown = shown.filter(|(_, column)| column.is_shown);
        let gaps = shown
            .clone()
            .map(|(at, column)| if at > 0 { column.gap } else { 0 });
        let widths = shown.map(|(_, column)| column.width);
        gaps.sum::<usize>() + widths.sum::<usize>()
    }

    /// The text of the table, a line for each row.
    pub fn text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_below_each_other() {
        let mut table = Table::new([
            Column::left(4),
            Column::right(3).after(1),
            Column::left(9).shown(false),
            Column::last(),
        ]);
        table.row(["ab", "1", "hidden", "x y"]);
        table.row(["█", "20", "hidden", ""]);
        table.row(["longer", "3", "hidden", "z"]);
        assert_eq!(table.start_of_last(), 10);
        assert_eq!(table.text(), "ab     1  x y\n█     20\nlonger   3  z\n");
    }
}
