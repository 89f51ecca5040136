// SPDX-License-Identifier: Apache-2.0

/// A first-in, first-out queue in one array. Taken elements leave a gap at the front, which is
/// closed when it reaches half of the array. So adding and taking cost O(1) per element.
struct RecordQueue<Element> {
    private var elements: [Element] = []
    private var head = 0

    var isEmpty: Bool { head == elements.count }
    var count: Int { elements.count - head }

    var first: Element? {
        get { isEmpty ? nil : elements[head] }
        set {
            guard let newValue, !isEmpty else { return }
            elements[head] = newValue
        }
    }

    mutating func append(_ element: Element) { elements.append(element) }

    mutating func popFirst() -> Element? {
        guard !isEmpty else { return nil }
        let element = elements[head]
        head += 1
        if head == elements.count {
            elements.removeAll(keepingCapacity: head <= 1024)
            head = 0
        } else if head >= 64, head * 2 >= elements.count {
            elements.removeFirst(head)
            head = 0
        }
        return element
    }

    /// Takes all elements, in order.
    mutating func takeAll() -> [Element] {
        let rest = Array(elements[head...])
        elements.removeAll()
        head = 0
        return rest
    }
}
